// Reading, renaming and folding the seed's weights.
#include "modules/seed_state.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/format/safetensors.h"

namespace a48::nn {
namespace {

at::ScalarType torch_type(const std::string& dtype, const std::string& where) {
  static const std::map<std::string, at::ScalarType> kTypes{
      {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"F64", at::kDouble}};
  const auto found = kTypes.find(dtype);
  A48_CHECK(found != kTypes.end(), ErrorKind::bad_input, where, ": dtype ", dtype,
            "; weights are F32, F16, BF16 or F64");
  return found->second;
}

StateDict read_safetensors(const std::string& path) {
  const format::SafetensorsFile file(path);
  StateDict state;
  for (const format::TensorInfo& info : file.tensors()) {
    at::Tensor tensor =
        torch::empty(info.shape, torch_type(info.dtype, concat(path, ", tensor ", info.name)));
    const auto bytes = file.bytes(info);
    std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(tensor.data_ptr()));
    state[info.name] = tensor;
  }
  return state;
}

StateDict read_pickle(const std::string& path) {
  const std::string text = read_file(path);
  c10::IValue value;
  try {
    value = torch::pickle_load(std::vector<char>(text.begin(), text.end()));
  } catch (const std::exception&) {
    value = {};
  }
  A48_CHECK(
      value.isGenericDict(), ErrorKind::bad_input, path,
      ": no plain dict of tensors; state_dict() gives an OrderedDict, which only Python reads. Convert once: "
      "python3 -c \"import torch; torch.save(dict(torch.load('",
      path, "')), '", path, "')\"");
  StateDict state;
  for (const auto& item : value.toGenericDict()) {
    A48_CHECK(item.key().isString() && item.value().isTensor(), ErrorKind::bad_input, path,
              ": an entry that is not a name with a tensor");
    state[item.key().toStringRef()] = item.value().toTensor();
  }
  return state;
}

/// "layers.0.attention.q_proj.weight" -> "model.layers.0.self_attn.q_proj.weight"; our own names stay.
std::string our_name(std::string name) {
  if (const auto at = name.find(".attention."); at != std::string::npos) name.replace(at, 11, ".self_attn.");
  return name.starts_with("model.") || name.starts_with("lm_head.") ? name : "model." + name;
}

/// Renamed, `.scale` folded: W ← scale·W has the codes of the seed (α scales with |scale|, signs with its
/// sign).
StateDict folded(const StateDict& state) {
  StateDict renamed, scales;
  for (const auto& [name, tensor] : state) {
    (name.ends_with(".scale") ? scales : renamed)[our_name(name)] = tensor.to(torch::kFloat);
  }
  for (const auto& [name, scale] : scales) {
    const std::string weight = name.substr(0, name.size() - 6) + ".weight";
    A48_CHECK(renamed.contains(weight) && scale.numel() == 1, ErrorKind::bad_input, "state: ", name,
              " belongs to no matrix, or is no single number");
    renamed[weight] = renamed[weight] * scale.reshape({});
  }
  return renamed;
}

void load(torch::nn::Module& module, const std::string& prefix, const StateDict& given) {
  const at::NoGradGuard no_grad;
  StateDict state = folded(given);
  std::int64_t missing_gains = 0;
  for (auto& item : module.named_parameters()) {
    const std::string name = prefix + item.key();
    const auto found = state.find(name);
    if (found == state.end() && name.find("_sub_norm.") != std::string::npos) {
      missing_gains += 1;
      item.value().fill_(1.0f);
      continue;
    }
    if (found == state.end() && name == "lm_head.weight") {
      log::warning("state: lm_head.weight is missing; the head keeps its values");
      continue;
    }
    A48_CHECK(found != state.end(), ErrorKind::bad_input, "state: ", name, " is missing");
    A48_CHECK(found->second.sizes() == item.value().sizes(), ErrorKind::bad_input, "state: ", name, " is ",
              found->second.sizes(), "; the model needs ", item.value().sizes());
    item.value().copy_(found->second);
    state.erase(found);
  }
  if (missing_gains > 0)
    log::warning(concat("state: ", missing_gains,
                        " sub-norms (attn_sub_norm, ffn_sub_norm) are missing; their gains become 1"));
  A48_CHECK(state.empty(), ErrorKind::bad_input, "state: ", state.begin()->first,
            " is no parameter of this model");
}

}  // namespace

StateDict read_state(const std::string& path) {
  return path.ends_with(".safetensors") ? read_safetensors(path) : read_pickle(path);
}

void load_seed_state(BitNetModel& model, const StateDict& state) {
  load(*model, "model.", state);
  model->weights_changed();
}

void load_seed_state(BitNetForCausalLM& model, const StateDict& state) {
  load(*model, "", state);
  model->weights_changed();
}

}  // namespace a48::nn
