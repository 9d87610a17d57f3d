// One counter at a time. It sees saved tensors through an engine that hands every saved variable a hook;
// operations add only the names.
#include "core/ops/saved_bytes.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>

#include "core/base/check.h"

namespace a48::ops {
namespace {

using torch::autograd::Engine;

SavedBytes* counter = nullptr;

const void* storage_of(const at::Tensor& tensor) { return tensor.storage().unsafeGetStorageImpl(); }

}  // namespace

/// Counts a tensor when it is saved, and gives it back as it is.
struct CountingHooks : torch::autograd::SavedVariableHooks {
  void call_pack_hook(const at::Tensor& tensor) override {
    saved_ = tensor;
    if (counter != nullptr && tensor.has_storage())
      counter->bytes_.emplace(storage_of(tensor), static_cast<std::int64_t>(tensor.storage().nbytes()));
  }
  at::Tensor call_unpack_hook() override { return saved_; }

 private:
  at::Tensor saved_;
};

namespace {

struct CountingEngine : Engine {
  std::unique_ptr<torch::autograd::SavedVariableHooks> get_default_saved_variable_hooks() override {
    return std::make_unique<CountingHooks>();
  }
};

Engine& counting_engine() {
  static CountingEngine engine;
  return engine;
}

Engine& usual_engine() { return Engine::get_base_engine(); }

}  // namespace

SavedBytes::SavedBytes() {
  A48_ASSERT(counter == nullptr, "saved bytes are counted by one at a time");
  counter = this;
  torch::autograd::set_default_engine_stub(counting_engine);
}

SavedBytes::~SavedBytes() {
  torch::autograd::set_default_engine_stub(usual_engine);
  counter = nullptr;
}

std::map<std::string, std::int64_t> SavedBytes::by_name() const {
  std::map<std::string, std::int64_t> result;
  for (const auto& [storage, bytes] : bytes_) {
    const auto name = names_.find(storage);
    result[name == names_.end() ? kUnnamed : name->second] += bytes;
  }
  return result;
}

std::int64_t SavedBytes::total() const {
  std::int64_t sum = 0;
  for (const auto& [storage, bytes] : bytes_) sum += bytes;
  return sum;
}

void note_saved(const std::string& name, at::TensorList tensors) {
  if (counter == nullptr) return;
  for (const at::Tensor& tensor : tensors) counter->names_.emplace(storage_of(tensor), name);
}

}  // namespace a48::ops
