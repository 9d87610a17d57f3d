#include "training/checkpoint.h"

#include <fstream>
#include <limits>

#include "core/config/print.h"
#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/step.h"

namespace a48::test {
namespace {

using namespace a48::train;
namespace fs = std::filesystem;

/// A model with something in every tensor, ready to be saved.
struct Saved {
  config::RunConfig config = tiny_run_config();
  nn::BitNetForCausalLM model{config.model};
  AdamW optimizer;
  TrainerState state;

  Saved() : optimizer((model->initialise(1), parameters_of(model))) {
    log::set_level(log::Level::off);
    for (const auto& [name, moment] : optimizer.moments()) at::Tensor(moment).fill_(0.25);
    optimizer.set_applied(9);
    state.applied = 9;
    state.machine = Json::object();
    state.data_fingerprint = "mock";
  }
  Path save(const Path& run, std::int64_t step) {
    state.step = step;
    return save_checkpoint(run, {&config, &state, &optimizer, Path()});
  }
};

std::vector<std::int64_t> steps_in(const Path& run) {
  std::vector<std::int64_t> steps;
  for (const auto& [step, folder] : list_checkpoints(run)) steps.push_back(step);
  return steps;
}

void flip_byte(const Path& file, std::size_t position) {
  std::string bytes = read_file(file);
  bytes[position % bytes.size()] = static_cast<char>(bytes[position % bytes.size()] ^ 1);
  std::ofstream(file, std::ios::binary) << bytes;
}

/// Takes the fault hook away again at the end of a scope.
struct FaultHook {
  explicit FaultHook(std::function<void(std::string_view, const Path&)> hook) {
    set_file_fault_hook(std::move(hook));
  }
  ~FaultHook() { set_file_fault_hook({}); }
};

TEST_CASE("names of checkpoints are exact") {
  CHECK(checkpoint_name(500) == "step-00000500");
  CHECK(step_of_name("step-00000500") == 500);
  CHECK(step_of_name(checkpoint_name(1234567890)) == 1234567890);
  for (const char* name : {"step-500", "step-00000500.backup", "step-0000050x", ".tmp-step-00000500-1",
                           "step-", "latest", "step-000000500"}) {
    CHECK_FALSE(step_of_name(name).has_value());
  }
}

TEST_CASE("what is saved is loaded, bit for bit") {
  const TempDir run;
  Saved saved;
  saved.state.guard.losses = {0.1, 1.0 / 3.0};
  saved.state.best_validation_loss = 2.0 / 3.0;
  saved.state.seconds = 1e-7 / 3.0;
  const Checkpoint checkpoint = open_checkpoint(saved.save(run.path(), 40));
  CHECK(to_json(checkpoint.state).dump() == to_json(saved.state).dump());
  CHECK(checkpoint.state.guard == saved.state.guard);
  CHECK(config::resolved_text(checkpoint.config) == config::resolved_text(saved.config));

  nn::BitNetForCausalLM other(saved.config.model);
  AdamW optimizer(parameters_of(other));
  load_weights(checkpoint, optimizer.parameters());
  load_moments(checkpoint, optimizer);
  CHECK(optimizer.applied() == 9);
  CHECK(state_hash(optimizer) == state_hash(saved.optimizer));
  CHECK(read_file(run / "checkpoints/latest") == "step-00000040\n");
}

TEST_CASE("K1: a fault at any write, fsync or rename leaves the run with a valid checkpoint or none") {
  Saved saved;
  for (const bool has_earlier : {false, true}) {
    int steps = 0;  // count the faults there could be, then make each happen once
    {
      const TempDir run;
      if (has_earlier) saved.save(run.path(), 1);
      const FaultHook hook([&](std::string_view, const Path&) { ++steps; });
      saved.save(run.path(), 2);
    }
    REQUIRE(steps > 20);
    for (int fault = 0; fault < steps; ++fault) {
      const TempDir run;
      if (has_earlier) saved.save(run.path(), 1);
      int now = 0;
      std::string where;
      bool failed = false;
      {
        const FaultHook hook([&](std::string_view step, const Path& path) {
          if (now++ != fault) return;
          where = concat(step, " of ", path.filename().string());
          throw Error(ErrorKind::no_resources, "injected");
        });
        try {
          saved.save(run.path(), 2);
        } catch (const Error&) {
          failed = true;
        }
      }
      INFO("fault " << fault << " at " << where);
      CHECK(failed);
      remove_leftovers(run.path());
      const std::optional<Checkpoint> newest = newest_checkpoint(run.path());
      if (has_earlier) REQUIRE(newest.has_value());
      if (newest) CHECK((newest->step == 2 || (has_earlier && newest->step == 1)));
      for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
        const std::string name = entry.path().filename().string();
        CHECK((step_of_name(name).has_value() || name == "latest"));
      }
    }
  }
}

TEST_CASE(
    "K2: a changed byte or a missing end in any file is found; the run falls back, the step itself is "
    "refused") {
  Saved saved;
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "trainer_state.json", "run.json", "manifest.json"}) {
    for (const bool truncate : {false, true}) {
      INFO(file << (truncate ? " truncated" : " changed"));
      const TempDir run;
      saved.save(run.path(), 1);
      const Path newest = saved.save(run.path(), 2);
      if (truncate) {
        fs::resize_file(newest / file, fs::file_size(newest / file) - 1);
      } else {
        flip_byte(newest / file, 777);
      }
      const Error error = error_of([&] { open_checkpoint(newest); });
      CHECK(error.kind() == ErrorKind::bad_input);
      CHECK(contains(error.what(), truncate && std::string(file) == "manifest.json" ? "manifest" : file));
      CHECK(newest_checkpoint(run.path())->step == 1);
      CHECK_THROWS_AS(find_checkpoint(newest), Error);
      CHECK(find_checkpoint(run.path()).step == 1);
    }
  }
}

TEST_CASE("K2: only bad checkpoints are an error, none is none, an empty folder is bad") {
  Saved saved;
  const TempDir run;
  CHECK_FALSE(newest_checkpoint(run.path()).has_value());
  CHECK(error_of([&] { find_checkpoint(run.path()); }).kind() == ErrorKind::bad_input);
  fs::create_directories(run / "checkpoints/step-00000003");
  fs::create_directories(run / "checkpoints/step-00000500.backup");
  const Error error = error_of([&] { newest_checkpoint(run.path()); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.what(), "step-00000003"));
  CHECK_FALSE(contains(error.what(), "backup"));
  saved.save(run.path(), 2);
  fs::remove(run / "checkpoints/latest");
  CHECK(newest_checkpoint(run.path())->step == 2);  // also without `latest`
}

TEST_CASE("what stands in `latest` is quoted, whatever bytes it holds") {
  Saved saved;
  const TempDir run;
  fs::create_directories(run / "checkpoints/step-00000003");
  write_file(run / "checkpoints/latest", std::string("\x1b[2J\xff\nstep") + std::string(500, 'x'));
  const Error error = error_of([&] { newest_checkpoint(run.path()); });
  CHECK(contains(error.what(), "\\u001b[2J"));
  CHECK_FALSE(contains(error.what(), "\x1b"));
  CHECK_FALSE(contains(error.what(), std::string(100, 'x')));
}

TEST_CASE("the tokenizer of a checkpoint that was written before it was recorded follows from its files") {
  Saved saved;
  const TempDir run;
  saved.state.tokenizer = {"bytes", "ab"};
  const Checkpoint recorded = open_checkpoint(saved.save(run.path(), 1));
  CHECK(recorded.state.tokenizer.kind == "bytes");
  CHECK(recorded.state.tokenizer.sha256 == "ab");
  const auto without_record = [&](const Path& tokenizer) {
    saved.state.step = 2;
    const Path folder =
        save_checkpoint(run.path(), {&saved.config, &saved.state, &saved.optimizer, tokenizer});
    Json state = Json::parse(read_file(folder / "trainer_state.json"), "state");
    std::erase_if(state.as_object(), [](const auto& member) { return member.first == "tokenizer"; });
    write_file(folder / "trainer_state.json", state.dump());
    format::Manifest manifest = format::read_manifest(folder, "a48-checkpoint/1", false);
    for (format::FileEntry& file : manifest.files) file = format::file_entry(folder, file.name);
    format::write_manifest(folder, manifest);
    return open_checkpoint(folder).state.tokenizer;
  };
  CHECK(without_record({}).kind == "unknown");
  write_file(run / "some.model", "pieces");
  const TokenizerRecord of_file = without_record(run / "some.model");
  CHECK(of_file.kind == "sentencepiece");
  CHECK(of_file.sha256.size() == 64);
}

TEST_CASE("a folder under another step's name, and tensors of another shape, are refused") {
  Saved saved;
  const TempDir run;
  saved.save(run.path(), 2);
  fs::rename(run / "checkpoints/step-00000002", run / "checkpoints/step-00000007");
  CHECK(error_of([&] { open_checkpoint(run / "checkpoints/step-00000007"); }).kind() == ErrorKind::bad_input);

  const Checkpoint checkpoint = open_checkpoint(saved.save(run.path(), 3));
  const config::RunConfig wider = tiny_run_config({"model.intermediate_size=64"});
  nn::BitNetForCausalLM other(wider.model);
  const Error error = error_of([&] { load_weights(checkpoint, parameters_of(other)); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.what(), "mlp.gate_proj.weight"));
}

TEST_CASE(
    "K3: retention keeps the last, the n-th, the best, the one before a switch and the one resumed from") {
  Saved saved;
  saved.config =
      tiny_run_config({"run.max_steps=100", "run.keep_last=2", "run.keep_every=50"});  // switch at 60
  const TempDir run;
  for (std::int64_t step = 10; step <= 90; step += 10) {
    saved.state.evaluated_step = step;
    saved.state.validation_loss = step == 20 ? 1.0 : 2.0;
    saved.save(run.path(), step);
  }
  fs::create_directories(run / "checkpoints/step-00000010.backup");
  retire_checkpoints(run.path(), saved.config, 90, 30);
  CHECK(steps_in(run.path()) == std::vector<std::int64_t>{20, 30, 50, 60, 80, 90});
  CHECK(fs::exists(run / "checkpoints/step-00000010.backup"));
}

TEST_CASE("K3: damaged folders after the step just saved cost no valid checkpoint its place") {
  Saved saved;
  saved.config = tiny_run_config({"run.keep_last=1"});
  const TempDir run;
  saved.save(run.path(), 1);
  fs::create_directories(run / "checkpoints/step-00000005");
  saved.save(run.path(), 2);
  retire_checkpoints(run.path(), saved.config, 2, -1);
  CHECK(steps_in(run.path()) == std::vector<std::int64_t>{2, 5});
  CHECK(newest_checkpoint(run.path())->step == 2);
}

TEST_CASE("K3: a delete that fails is a warning, and its left-overs go at the next start") {
  Saved saved;
  saved.config = tiny_run_config({"run.keep_last=1"});
  const TempDir run;
  saved.save(run.path(), 1);
  saved.save(run.path(), 2);
  {
    const FaultHook hook([](std::string_view step, const Path&) {
      if (step == "rename") throw Error(ErrorKind::no_resources, "injected");
    });
    retire_checkpoints(run.path(), saved.config, 2, -1);
  }
  CHECK(steps_in(run.path()) == std::vector<std::int64_t>{1, 2});
  fs::create_directories(run / "checkpoints/.trash-step-00000001-1");  // killed between rename and delete
  fs::create_directories(run / "checkpoints/.tmp-step-00000003-1");    // killed in a save
  remove_leftovers(run.path());
  CHECK_FALSE(fs::exists(run / "checkpoints/.trash-step-00000001-1"));
  CHECK_FALSE(fs::exists(run / "checkpoints/.tmp-step-00000003-1"));
}

TEST_CASE("K5: a weight or moment that is not finite is not saved; dead matrices are named") {
  Saved saved;
  const TempDir run;
  saved.save(run.path(), 1);
  const float infinity = std::numeric_limits<float>::infinity();
  const NamedTensors moments = saved.optimizer.moments();
  const NamedTensors weights = saved.optimizer.parameters();
  for (const NamedTensors& tensors : {weights, moments}) {
    at::Tensor tensor = tensors[5].second.detach();
    const at::Tensor kept = tensor.clone();
    tensor.flatten()[0] = infinity;
    const Error error = error_of([&] { saved.save(run.path(), 2); });
    CHECK(error.kind() == ErrorKind::not_finite);
    CHECK(contains(error.what(), tensors[5].first));
    tensor.copy_(kept);
  }
  CHECK(steps_in(run.path()) == std::vector<std::int64_t>{1});

  CHECK(zero_matrices(weights).empty());
  saved.model->named_parameters()["model.layers.1.mlp.up_proj.weight"].detach().zero_();
  CHECK(zero_matrices(weights) == std::vector<std::string>{"model.layers.1.mlp.up_proj.weight"});
}

TEST_CASE("checkpoints of a history that is left are set aside under another name") {
  Saved saved;
  const TempDir run;
  for (const std::int64_t step : {1, 2, 3}) saved.save(run.path(), step);
  set_aside_after(run.path(), 1);
  CHECK(steps_in(run.path()) == std::vector<std::int64_t>{1});
  CHECK(fs::exists(run / "checkpoints/step-00000003.superseded"));
}

}  // namespace
}  // namespace a48::test
