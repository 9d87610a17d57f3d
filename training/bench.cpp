// The table of `bench train`: one model, one batch of mock data; the modes take turns step by step, so that a
// change of the machine's speed hits all alike. A step is a training step (step.cpp): forward, backward,
// clipping, optimizer.
#include "training/bench.h"

#include <chrono>
#include <map>

#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/base/quartiles.h"
#include "core/base/rng.h"
#include "core/config/types.h"
#include "core/ops/device_product.h"
#include "core/ops/gpu.h"
#include "core/ops/threads.h"
#include "core/ops/torch_errors.h"
#include "modules/causal_lm.h"
#include "modules/telemetry.h"
#include "training/devices.h"
#include "training/optimizer.h"
#include "training/signals.h"
#include "training/step.h"

namespace a48::train {
namespace {

struct Shape {
  std::int64_t batch, sequence;
};

/// Speed shapes of numerics.md 6: 8 × 256 for 11M, 2 × 256 for 85M and above. On a GPU the context of
/// training.md 5, and what fits in 80 GB.
Shape speed_shape(const BenchRequest& request) {
  Shape preset = request.preset == "11M" ? Shape{8, 256} : Shape{2, 256};
  if (request.gpu)
    preset = request.preset == "0.5B"   ? Shape{16, 1024}
             : request.preset == "1.3B" ? Shape{8, 2048}
                                        : Shape{32, 1024};
  return {request.batch > 0 ? request.batch : preset.batch,
          request.sequence > 0 ? request.sequence : preset.sequence};
}

constexpr const char* kEager = "-eager";

bool is_eager(const std::string& name) { return name.ends_with(kEager); }

quant::Mode mode_of_name(const std::string& name) {
  std::string choices;
  for (const quant::ModeRow& row : quant::kModes) {
    if (name == row.name || name == std::string(row.name) + kEager) return row.mode;
    choices += concat(choices.empty() ? "" : ", ", row.name);
  }
  fail(ErrorKind::config, "bench train: there is no mode ", name, "; there are ", choices);
}

at::Tensor mock_batch(Shape shape, std::int64_t vocab) {
  const at::Tensor ids = at::empty({shape.batch, shape.sequence + 1}, at::kLong);
  std::int64_t* id = ids.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    id[i] = static_cast<std::int64_t>(random_bits(1, stream_of("bench"), static_cast<std::uint64_t>(i)) %
                                      static_cast<std::uint64_t>(vocab));
  }
  return ids;
}

/// What the choice between the two products of codes rests on, a shape a row.
Json measured_code_products() {
  Json rows = Json::array();
  for (const ops::MeasuredProduct& product : ops::measured_products()) {
    Json row = Json::object();
    row["rows_up_to"] = product.rows;
    row["inputs"] = product.inputs;
    row["outputs"] = product.outputs;
    row["type"] = product.type == torch::kFloat ? "fp32" : "bf16";
    row["int_mm_us"] = 1e6 * product.int_mm;
    row["gemm_ternary_us"] = 1e6 * product.own_kernel;
    row["chosen"] = product.faster() == ops::CodeProduct::int_mm ? "int_mm" : "gemm_ternary";
    rows.push_back(row);
  }
  return rows;
}

/// The quantizers of a mode, ours or in the eager form.
void set_mode(nn::BitNetForCausalLM& model, const std::string& name) {
  model->set_slots(quant::row_of(mode_of_name(name)).slots);
  for (nn::BitLinear linear : model->model->linears()) linear->set_eager(is_eager(name));
}

Json bench(const BenchRequest& request) {
  const Placement placement = request.gpu ? place_on_gpu() : Placement{};
  A48_CHECK(!request.bf16_backward || request.gpu || cpu_has_bf16(), ErrorKind::no_resources,
            "bench train: this CPU has neither avx512_bf16 nor amx_bf16: bf16 products would be emulated");
  A48_CHECK(request.steps >= 1 && request.warmup >= 0 && !request.modes.empty(), ErrorKind::config,
            "bench train: at least one mode and one step");
  ops::use_torch_threads();
  set_thread_count(request.threads);
  const Shape shape = speed_shape(request);
  config::Model shape_of_model = config::model_preset(request.preset);
  if (request.vocab > 0 || !request.gpu) shape_of_model.vocab_size = request.vocab > 0 ? request.vocab : 4096;
  A48_CHECK(shape.sequence <= shape_of_model.max_position_embeddings, ErrorKind::config,
            "bench train: sequence ", shape.sequence, " is longer than the preset's ",
            shape_of_model.max_position_embeddings, " positions");
  nn::BitNetForCausalLM model(shape_of_model, placement.device);
  model->model->set_compute(placement.compute);
  model->model->set_recompute_glu(request.recompute_glu);
  model->initialise(1);
  model->set_implementations(config::AttentionImpl::sdpa, config::HeadImpl::gemm);
  AdamW optimizer(parameters_of(model));
  const at::Tensor ids = mock_batch(shape, shape_of_model.vocab_size);
  const config::Optim optim;

  std::map<std::string, std::vector<double>> milliseconds;
  std::map<std::string, std::int64_t> memory;
  std::map<std::string, double> loss;
  for (int round = 0; round < request.warmup + request.steps; ++round) {
    for (const std::string& name : request.modes) {
      A48_CHECK(!stop_requested(), ErrorKind::stopped, "bench train: stopped by ", stop_reason());
      StepPlan plan;
      plan.mode = mode_of_name(name);
      plan.slots = quant::row_of(plan.mode).slots;
      plan.learning_rate = 1e-4;
      set_mode(model, name);
      const bool bf16 = request.bf16_backward && plan.mode != quant::Mode::none;
      model->set_backward(bf16 ? ops::BackwardDtype::bf16 : placement.backward);
      ops::reset_most_used();
      finish(placement);
      const auto begin = std::chrono::steady_clock::now();
      loss[name] = train_step(model, optimizer, optim, plan, {ids}).loss;
      finish(placement);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
      if (round >= request.warmup) milliseconds[name].push_back(took.count());
      memory[name] = std::max(memory[name], memory_in_use(placement));
    }
    log::progress(concat("bench train: round ", round + 1, " of ", request.warmup + request.steps));
  }

  Json machine = Json::object();
  machine["cpu"] = cpu_name();
  machine["isa"] = isa_name(active_isa());
  machine["threads"] = thread_count();
  Json result = Json::object(), modes = Json::object();
  if (request.gpu) {
    machine["gpu"] = device_name(placement);
    machine["gpu_query"] = gpu_query();
    result["ceilings"] = gpu_ceilings();
    result["code_products"] = measured_code_products();
  }
  result["machine"] = machine;
  result["preset"] = request.preset;
  result["backward_dtype"] =
      request.bf16_backward || placement.backward == ops::BackwardDtype::bf16 ? "bf16" : "fp32";
  result["recompute_glu"] = request.recompute_glu;
  result["parameters"] = config::total_parameters(shape_of_model);
  result["batch"] = shape.batch;
  result["sequence"] = shape.sequence;
  result["tokens"] = shape.batch * shape.sequence;
  const auto none = milliseconds.find("none");
  for (const std::string& name : request.modes) {
    const Quartiles step(milliseconds[name]);
    set_mode(model, name);
    const nn::SavedBytesReport saved = nn::measure_saved_bytes(model, ids);
    Json mode = Json::object();
    mode["step_ms"] = step.json();
    const double tokens_per_second = 1e3 * static_cast<double>(shape.batch * shape.sequence) / step.median;
    mode["tokens_per_s"] = tokens_per_second;
    mode["saved_bytes"] = saved.total;
    mode["saved_activation_bytes"] = saved.activations;
    mode["saved_weight_bytes"] = saved.weights;
    mode["saved_head_bytes"] = saved.head;
    mode["saved_linear_input_bytes"] = saved.linear_inputs;
    mode["memory_bytes"] = memory[name];
    mode["last_loss"] = loss[name];
    if (const std::optional<Peaks> peaks = peaks_of(device_name(placement))) {
      mode["mfu"] = tokens_per_second * flops_per_token(shape_of_model, shape.sequence) / peaks->bf16_flops;
      mode["sol"] =
          tokens_per_second * least_seconds_per_token(shape_of_model, quant::row_of(mode_of_name(name)).slots,
                                                      shape.sequence, *peaks);
    }
    mode["ratio"] = none == milliseconds.end() ? Json() : Json(step.median / Quartiles(none->second).median);
    modes[name] = mode;
  }
  result["modes"] = modes;
  return result;
}

}  // namespace

Json bench_train(const BenchRequest& request) {
  const SignalScope signals("\nstopping after this step without a result; again to stop now\n");
  return ops::with_torch_errors([&] { return bench(request); });
}

}  // namespace a48::train
