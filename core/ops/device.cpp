// The one access of the process.
#include "core/ops/device.h"

#include "core/base/check.h"
#include "core/ops/device_product.h"
#include "core/ops/gpu.h"

namespace a48::ops {
namespace {

const DeviceAccess* current = nullptr;

}  // namespace

void set_device_access(const DeviceAccess* access) {
  current = access;
  forget_measured_products();
}

bool on_device(const at::Tensor& x) {
  if (current != nullptr && current->owns(x)) return true;
  A48_CHECK(!x.is_cuda(), ErrorKind::no_resources, "a tensor is on ", x.device().str(), ", but ",
            gpu_count() > 0 ? "use_gpu() was not called" : no_gpu_reason());
  return false;
}

const DeviceAccess& device() {
  A48_ASSERT(current != nullptr);
  return *current;
}

}  // namespace a48::ops
