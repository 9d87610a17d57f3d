// One counter at a time, asked by every operation that saves.
#include "core/ops/saved_bytes.h"

#include "core/base/check.h"

namespace a48::ops {
namespace {

SavedBytes* counter = nullptr;

}  // namespace

SavedBytes::SavedBytes() {
  A48_ASSERT(counter == nullptr, "saved bytes are counted by one at a time");
  counter = this;
}

SavedBytes::~SavedBytes() { counter = nullptr; }

std::int64_t SavedBytes::total() const {
  std::int64_t sum = 0;
  for (const auto& [name, bytes] : by_name_) sum += bytes;
  return sum;
}

void note_saved(const std::string& name, at::TensorList tensors) {
  if (counter == nullptr) return;
  std::int64_t& bytes = counter->by_name_[name];
  for (const at::Tensor& tensor : tensors) {
    if (counter->seen_.insert(tensor.storage().unsafeGetStorageImpl()).second) {
      bytes += static_cast<std::int64_t>(tensor.storage().nbytes());
    }
  }
}

}  // namespace a48::ops
