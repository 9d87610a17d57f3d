// bench train on a small batch: what its JSON says. Times are a person's to judge.
#include "training/bench.h"

#include "core/base/cpu.h"
#include "core/base/log.h"
#include "core/config/types.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::test {
namespace {

train::BenchRequest small_request(std::vector<std::string> modes) {
  train::BenchRequest request;
  request.modes = std::move(modes);
  request.batch = 1;
  request.sequence = 8;
  request.vocab = 32;
  request.warmup = 0;
  request.steps = 1;
  request.threads = 2;
  return request;
}

TEST_CASE(
    "bench train: saved_bytes is the sum of activations, weights and head, each as numerics.md 4.3 has it") {
  log::set_level(log::Level::error);
  const Json result = train::bench_train(small_request({"none", "a8", "a4.8"}));
  CHECK(result.at("backward_dtype").as_string() == "fp32");
  const config::Model shape = config::model_preset("11M");
  const std::int64_t rows = 8, h = shape.hidden_size, g = shape.intermediate_size,
                     layers = shape.num_hidden_layers,
                     linears = layers *
                               (2 * h * h + 2 * h * shape.num_key_value_heads * shape.head_dim() + 3 * h * g);
  const auto bytes = [&](const char* mode, const char* member) {
    return result.at("modes").at(mode).at(member).as_int();
  };
  for (const char* mode : {"none", "a8", "a4.8"}) {
    INFO(mode);
    CHECK(bytes(mode, "saved_bytes") == bytes(mode, "saved_activation_bytes") +
                                            bytes(mode, "saved_weight_bytes") +
                                            bytes(mode, "saved_head_bytes"));
    CHECK(bytes(mode, "saved_activation_bytes") > bytes(mode, "saved_linear_input_bytes"));
    CHECK(bytes(mode, "saved_head_bytes") > 0);
  }
  // Ternary codes take a byte in place of a float's four; the head is the same float product in every mode.
  CHECK(bytes("none", "saved_weight_bytes") - bytes("a8", "saved_weight_bytes") >= 3 * linears - 64 * layers);
  CHECK(bytes("a8", "saved_weight_bytes") >= linears);
  CHECK(bytes("a4.8", "saved_weight_bytes") == bytes("a8", "saved_weight_bytes"));
  CHECK(bytes("none", "saved_head_bytes") == bytes("a8", "saved_head_bytes"));
  // Codes of the inputs of q/k/v, o, gate/up, down, and a step of each.
  CHECK(bytes("a8", "saved_linear_input_bytes") == layers * rows * (3 * h + g + 16));
  CHECK(bytes("a4.8", "saved_linear_input_bytes") == layers * rows * (2 * h + g + 16));
  CHECK(bytes("none", "saved_linear_input_bytes") == layers * rows * 4 * (3 * h + g));
}

TEST_CASE(
    "bench train --bf16-backward: runs where the CPU has bf16 products, else is refused with the reason") {
  log::set_level(log::Level::error);
  train::BenchRequest request = small_request({"a4.8"});
  request.bf16_backward = true;
  if (!cpu_has_bf16()) {
    CHECK_ERROR(train::bench_train(request), ErrorKind::no_resources, "avx512_bf16", "emulated");
    return;
  }
  const Json result = train::bench_train(request);
  CHECK(result.at("backward_dtype").as_string() == "bf16");
  CHECK(result.at("modes").at("a4.8").at("step_ms").at("median").as_double() > 0);
}

}  // namespace
}  // namespace a48::test
