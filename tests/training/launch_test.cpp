#include "training/launch.h"

#include <fstream>

#include "core/base/cpu.h"
#include "core/config/print.h"
#include "core/ops/gpu.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/training/tiny_run.h"
#include "training/scorer.h"

namespace a48::test {
namespace {

namespace fs = std::filesystem;

TEST_CASE(
    "the same command again: a finished run says so, a stopped one goes on, --fresh keeps the old one "
    "aside") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(5) == ExitCode::stopped);
  REQUIRE(tiny.train() == ExitCode::done);
  CHECK(tiny.events("step").size() == 20);
  REQUIRE(tiny.train() == ExitCode::done);
  CHECK(tiny.events("step").size() == 20);

  // Results cut short by a crash are measured again.
  const Path results = tiny.run() / "results.json";
  write_file(results, "{");
  REQUIRE(tiny.train() == ExitCode::done);
  CHECK(Json::parse(read_file(results), results.string()).at("step").as_int() == 20);

  train::TrainRequest elsewhere;
  elsewhere.resume = tiny.run().string();
  elsewhere.overrides = {"run.dir=" + (tiny.folder() / "elsewhere").string()};
  CHECK(error_of([&] { train::run(elsewhere); }).kind() == ErrorKind::config);

  train::TrainRequest fresh = tiny.request();
  fresh.fresh = true;
  fresh.stop_after = 2;
  REQUIRE(train::run(fresh) == ExitCode::stopped);
  CHECK(tiny.events("step").size() == 2);
  CHECK(fs::exists(tiny.run().string() + ".old-1/results.json"));
}

TEST_CASE(
    "C4: a field marked `same` that changed stops the resume with both values; others are told and logged") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(5) == ExitCode::stopped);
  const Error error = error_of([&] { tiny.train({"run.seed=6", "model.hidden_size=64"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "run.seed: 5 in the run, 6 now"));
  CHECK(contains(error.what(), "model.hidden_size: 32 in the run, 64 now"));

  REQUIRE(tiny.train_and_stop(1, {"run.log_interval=7"}) == ExitCode::stopped);
  const Json changes = tiny.events("resume").back().at("changes");
  REQUIRE(changes.size() == 1);
  CHECK(changes.as_array()[0].at("path").as_string() == "run.log_interval");
}

TEST_CASE("C3: a rerun takes keys that the file leaves open from the checkpoint, the others from the file") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(5, {"run.keep_last=7", "run.log_interval=3"}) == ExitCode::stopped);
  REQUIRE(tiny.train_and_stop(1) == ExitCode::stopped);
  const Json changes = tiny.events("resume").back().at("changes");
  REQUIRE(changes.size() == 1);  // run.keep_last stays 7: it does not stand in the file
  CHECK(changes.as_array()[0].at("path").as_string() == "run.log_interval");
  CHECK(changes.as_array()[0].at("after").as_string() == "1000");
}

TEST_CASE("R4: a resume with a key that changes results is not called bitwise") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(5) == ExitCode::stopped);
  REQUIRE(tiny.train_and_stop(1, {"run.micro_batch_size=8"}) == ExitCode::stopped);
  CHECK_FALSE(tiny.events("resume").back().at("bitwise").as_bool());
  REQUIRE(tiny.train_and_stop(1, {"run.micro_batch_size=8", "run.log_interval=7"}) == ExitCode::stopped);
  CHECK(tiny.events("resume").back().at("bitwise").as_bool());
}

TEST_CASE(
    "run.backward_dtype: bf16 is refused where it would be emulated; a resume with another one is not "
    "bitwise") {
  const config::RunConfig bf16 = tiny_run_config({"run.backward_dtype=bf16"});
  const Error error = error_of([&] { train::demand_backward_dtype(bf16, false); });
  CHECK(error.kind() == ErrorKind::no_resources);
  CHECK(contains(error.what(), "run.backward_dtype: bf16"));
  CHECK(contains(error.what(), "emulated"));
  train::demand_backward_dtype(bf16, true);
  train::demand_backward_dtype(tiny_run_config(), false);
  if (!cpu_has_bf16()) return;
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  REQUIRE(tiny.train_and_stop(1, {"run.backward_dtype=bf16"}) == ExitCode::stopped);
  CHECK_FALSE(tiny.events("resume").back().at("bitwise").as_bool());
  CHECK(tiny.events("run").back().at("machine").at("backward_dtype").as_string() == "bf16");
  REQUIRE(tiny.train_and_stop(1, {"run.backward_dtype=bf16"}) == ExitCode::stopped);
  CHECK(tiny.events("resume").back().at("bitwise").as_bool());
}

TEST_CASE("K2: a run that falls back sets the damaged folders aside and keeps what it saves") {
  TinyRun tiny({"run.save_interval=5", "run.keep_last=1"});
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  fs::create_directories(tiny.checkpoint(15));
  fs::create_directories(tiny.checkpoint(18));
  REQUIRE(tiny.train_and_stop(4) == ExitCode::stopped);
  CHECK(fs::exists(tiny.checkpoint(7)));
  CHECK(fs::exists(tiny.checkpoint(18).string() + ".superseded"));
  REQUIRE(tiny.train() == ExitCode::done);
}

TEST_CASE("a shorter run.max_steps on resume is told with both values, once; one behind the run is refused") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(5) == ExitCode::stopped);
  const auto said = [&](const std::string& max_steps) {
    return stderr_of([&] {
      log::set_level(log::Level::warning);
      CHECK(tiny.train_and_stop(1, {"run.max_steps=" + max_steps}) == ExitCode::stopped);
      log::set_level(log::Level::error);
    });
  };
  CHECK(contains(said("15"),
                 "warning: run.max_steps is shortened from 20 to 15: 10 steps are left, and "
                 "learning rate, weight decay and stages follow the shorter run"));
  CHECK_FALSE(contains(said("15"), "run.max_steps"));
  const Error error = error_of([&] { tiny.train({"run.max_steps=6"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "run.max_steps: 6, but 7 steps are done"));
}

TEST_CASE("a horizon that moves steps already done into a stage with other data is refused") {
  TinyRun tiny({"stages.1.data.sequence_length=8"});
  REQUIRE(tiny.train_and_stop(15) == ExitCode::stopped);
  const Error error = error_of([&] { tiny.train({"run.max_steps=40"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "moves the end of stage 1 from step 12 to 24"));
}

TEST_CASE("other training shards by another glob are refused") {
  TinyRun tiny;
  tiny.with_text(2000);
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  const Error error = error_of([&] { tiny.train({"data.train_glob=train_000*.bin"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "data.train_glob"));
}

TEST_CASE("T4: another horizon keeps the step; a rising learning rate needs its own flag") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(15) == ExitCode::stopped);
  const Error error = error_of([&] { tiny.train({"run.max_steps=40"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "--raise-lr"));
  train::TrainRequest raised = tiny.request({"run.max_steps=40"});
  raised.raise_lr = true;
  raised.stop_after = 1;
  REQUIRE(train::run(raised) == ExitCode::stopped);
  CHECK(tiny.events("step").back().at("step").as_int() == 16);
}

TEST_CASE("--resume takes a run or one checkpoint; what is not there is bad input") {
  TinyRun tiny({"run.save_interval=5", "run.keep_last=9"});
  REQUIRE(tiny.train_and_stop(12) == ExitCode::stopped);
  train::TrainRequest resume;
  resume.resume = tiny.run().string();
  resume.stop_after = 1;
  REQUIRE(train::run(resume) == ExitCode::stopped);
  CHECK(tiny.events("step").back().at("step").as_int() == 13);

  resume.resume = tiny.checkpoint(5).string();
  REQUIRE(train::run(resume) == ExitCode::stopped);
  CHECK(tiny.events("step").back().at("step").as_int() == 6);
  CHECK_FALSE(fs::exists(tiny.checkpoint(12)));  // of the history that was left
  CHECK(fs::exists(tiny.checkpoint(12).string() + ".superseded"));

  std::ofstream(tiny.checkpoint(6) / "model.safetensors", std::ios::app) << "x";
  resume.resume = tiny.checkpoint(6).string();
  CHECK(error_of([&] { train::run(resume); }).kind() == ErrorKind::bad_input);  // never falls back
  resume.resume = tiny.checkpoint(999).string();
  CHECK(error_of([&] { train::run(resume); }).kind() == ErrorKind::bad_input);
  resume.resume = tiny.folder().string();
  CHECK(error_of([&] { train::run(resume); }).kind() == ErrorKind::bad_input);
}

TEST_CASE("a run that was moved goes on where it is now") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  fs::rename(tiny.run(), tiny.folder() / "moved");
  train::TrainRequest resume;
  resume.resume = (tiny.folder() / "moved").string();
  resume.stop_after = 1;
  REQUIRE(train::run(resume) == ExitCode::stopped);
  CHECK_FALSE(fs::exists(tiny.run()));
  CHECK(fs::exists(tiny.folder() / "moved/checkpoints/step-00000004"));
}

TEST_CASE("two processes never train in one folder") {
  const TempDir run;
  const train::RunLock lock(run.path());
  const Error error = error_of([&] { const train::RunLock other(run.path()); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "in use by process"));
}

TEST_CASE("other training data than the checkpoint's is refused") {
  TinyRun tiny;
  tiny.with_text(2000);
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  data::PrepareRequest other;
  write_file(tiny.folder() / "text.txt", tiny_text(2100));
  other.texts = {(tiny.folder() / "text.txt").string()};
  other.out = (tiny.folder() / "data").string();
  other.tokenizer = "bytes";
  other.val_fraction = 0.2;
  other.force = true;
  data::prepare(other);
  const Error error = error_of([&] { tiny.train(); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.what(), "fingerprint"));
}

TEST_CASE("what does not fit or is not there yet is refused before the run begins") {
  TinyRun tiny;
  const Error memory = error_of([&] {
    tiny.train({"model.hidden_size=131072", "model.intermediate_size=131072"});
  });
  CHECK(memory.kind() == ErrorKind::no_resources);
  CHECK(contains(memory.what(), "GB"));
  if (ops::gpu_count() == 0)
    CHECK(error_of([&] { tiny.train({"run.device=cuda"}); }).kind() == ErrorKind::no_resources);
  CHECK_FALSE(fs::exists(tiny.run() / "checkpoints"));
}

TEST_CASE("--fresh leaves the old run in its place when the start fails") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(3) == ExitCode::stopped);
  const auto refuses = [&](const std::string& override, ErrorKind kind) {
    train::TrainRequest fresh = tiny.request({override});
    fresh.fresh = true;
    INFO(override);
    const Error error = error_of([&] { train::run(fresh); });
    CHECK(error.kind() == kind);
    CHECK(fs::exists(tiny.checkpoint(3)));
    CHECK_FALSE(fs::exists(tiny.run().string() + ".old-1"));
  };
  refuses("data={\"kind\": \"shards\", \"path\": \"nowhere\", \"sequence_length\": 16}",
          ErrorKind::bad_input);
  refuses("model={\"preset\": \"7B\"}", ErrorKind::no_resources);
  refuses("init.from=nowhere", ErrorKind::bad_input);
  REQUIRE(tiny.train_and_stop(1) == ExitCode::stopped);  // and it goes on
  CHECK(tiny.events("step").back().at("step").as_int() == 4);
}

TEST_CASE("a start that fails leaves no folder and no lock; one that ends leaves no lock") {
  TinyRun tiny;
  const Path nested = tiny.folder() / "a/b/run";
  const Error error = error_of([&] { tiny.train({"init.from=nowhere", "run.dir=" + nested.string()}); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK_FALSE(fs::exists(tiny.folder() / "a"));
  REQUIRE(tiny.train_and_stop(1) == ExitCode::stopped);
  CHECK_FALSE(fs::exists(tiny.run() / ".lock"));
}

TEST_CASE("a lock is held by one process at a time though its file is removed in the end") {
  const TempDir run;
  {
    const train::RunLock first(run.path());
    CHECK_THROWS_AS(train::RunLock(run.path()), Error);
  }
  train::RunLock second(run.path());
  train::RunLock moved(std::move(second));
  CHECK(fs::exists(run / ".lock"));
  CHECK_THROWS_AS(train::RunLock(run.path()), Error);
  moved = train::RunLock();
  CHECK_FALSE(fs::exists(run / ".lock"));
}

TEST_CASE("run.dir that is a file, or cannot be written, is told by its key") {
  TinyRun tiny;
  write_file(tiny.folder() / "file", "x");
  for (const char* place : {"file", "file/run"}) {
    const Error error = error_of([&] { tiny.train({"run.dir=" + (tiny.folder() / place).string()}); });
    CHECK(error.kind() == ErrorKind::config);
    CHECK(contains(error.what(), "run.dir: "));
    CHECK(contains(error.what(), "is a file"));
  }
  // Also for one who may write everywhere: a lock that cannot be opened for writing.
  fs::create_directories(tiny.folder() / "locked/.lock");
  const Error error = error_of([&] { const train::RunLock lock(tiny.folder() / "locked"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.what(), "run.dir: "));
}

TEST_CASE("init.from: another tokenizer, another shape and what is not there are told by the key") {
  TinyRun source, other({"init.from=" + (source.run()).string()});
  source.with_text(2000);
  REQUIRE(source.train_and_stop(2) == ExitCode::stopped);
  write_file(other.folder() / "text.txt", tiny_text(60000));
  data::PrepareRequest request;
  request.texts = {(other.folder() / "text.txt").string()};
  request.out = (other.folder() / "data").string();
  request.vocab_size = 290;
  data::prepare(request);
  const std::vector<std::string> pieces{"data.kind=shards", "data.path=" + request.out,
                                        "model.vocab_size=290"};
  const Error tokenizer = error_of([&] { other.train(pieces); });
  CHECK(tokenizer.kind() == ErrorKind::bad_input);
  CHECK(contains(tokenizer.what(), "init.from: "));
  CHECK(contains(tokenizer.what(), "was trained with the tokenizer bytes"));
  const Error shape = error_of([&] { other.train({"model.hidden_size=64"}); });
  CHECK(contains(shape.what(), "init.from: "));
  CHECK(other.train_and_stop(1) == ExitCode::stopped);  // mock data name no tokenizer
}

TEST_CASE("a horizon behind the steps done is refused, a shorter one is taken") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(15) == ExitCode::stopped);
  const Error error = error_of([&] { tiny.train({"run.max_steps=10"}); });
  CHECK(error.kind() == ErrorKind::config);
  CHECK(contains(error.what(), "run.max_steps: 10, but 15 steps are done"));
  REQUIRE(tiny.train({"run.max_steps=18"}) == ExitCode::done);
  CHECK(tiny.events("step").back().at("step").as_int() == 18);
}

TEST_CASE("the checkpoint records the tokenizer; an old one says what its files say") {
  TinyRun mock, bytes;
  bytes.with_text(2000);
  REQUIRE(mock.train_and_stop(1) == ExitCode::stopped);
  REQUIRE(bytes.train_and_stop(1) == ExitCode::stopped);
  CHECK(train::open_model(mock.run().string()).tokenizer_kind == "unknown");
  const train::OpenedModel opened = train::open_model(bytes.run().string());
  CHECK(opened.tokenizer_kind == "bytes");
  CHECK(opened.tokenizer_sha256.size() == 64);
}

TEST_CASE("finished in: the seconds of evaluations and saves are among them") {
  TinyRun tiny({"eval.interval=1", "run.save_interval=1"});
  tiny.with_text(4000);
  REQUIRE(tiny.train() == ExitCode::done);
  double steps = 0.0, beside = 0.0;
  for (const Json& step : tiny.events("step")) steps += 1e-3 * step.at("step_ms").as_double();
  for (const char* kind : {"eval", "checkpoint"})
    for (const Json& event : tiny.events(kind)) beside += event.at("seconds").as_double();
  CHECK(tiny.events("end").back().at("seconds").as_double() >= steps + beside);
}

TEST_CASE("C7: a dry run makes one step per stage and leaves no trace") {
  TinyRun tiny;
  train::TrainRequest dry = tiny.request();
  dry.dry_run = true;
  CHECK(train::run(dry) == ExitCode::done);
  CHECK_FALSE(fs::exists(tiny.run()));
}

TEST_CASE("open_model: the checkpoint of a run as a language model, in its own mode or another") {
  TinyRun tiny;
  tiny.with_text(2000);
  REQUIRE(tiny.train() == ExitCode::done);
  const train::OpenedModel opened = train::open_model(tiny.run().string());
  CHECK(opened.step == 20);
  CHECK(opened.model->info().mode == "a4.8");
  CHECK(opened.model->info().sequence_length == 16);
  CHECK(opened.tokenizer_path.empty());  // bytes
  CHECK(train::open_model(tiny.checkpoint(12).string()).model->info().mode ==
        "a8");  // just before the switch
  CHECK(train::open_model(tiny.run().string(), quant::Mode::a16).model->info().mode == "a16");
  CHECK(error_of([&] { train::open_model((tiny.folder() / "none").string()); }).kind() ==
        ErrorKind::bad_input);
}

TEST_CASE("D6: the spans read at a step are those of its batch") {
  TinyRun tiny({"stages.1.data.sequence_length=8"});
  tiny.with_text(2000);
  REQUIRE(tiny.train() == ExitCode::done);
  const Json first = train::data_read_at(tiny.run().string(), 1),
             switched = train::data_read_at(tiny.run().string(), 13);
  CHECK(first.at("spans").size() == 8);
  CHECK(first.at("spans").as_array()[0].at("count").as_int() == 17);
  CHECK(switched.at("stream").as_int() == 1);
  CHECK(switched.at("consumed").as_int() == 0);
  const Json state = Json::parse(read_file(tiny.checkpoint(20) / "trainer_state.json"), "state");
  CHECK(train::data_read_at(tiny.run().string(), 20).at("consumed").as_int() + 8 ==
        state.at("consumed").as_int());
}

}  // namespace
}  // namespace a48::test
