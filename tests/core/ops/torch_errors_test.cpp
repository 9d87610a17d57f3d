#include "core/ops/torch_errors.h"

#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::test {

TEST_CASE("LibTorch's errors become ours: out of memory under its own kind, none with a stack trace") {
  const auto fails = [](const std::string& text) {
    ops::with_torch_errors([&]() -> int { TORCH_CHECK(false, text); });
  };
  CHECK_ERROR(fails("CUDA out of memory. Tried to allocate 2 GiB"), ErrorKind::no_resources, "2 GiB");
  CHECK_ERROR(fails("DefaultCPUAllocator: not enough memory"), ErrorKind::no_resources, "smaller model");
  CHECK_ERROR(fails("sizes do not match"), ErrorKind::internal, "sizes do not match");
  CHECK_ERROR(ops::with_torch_errors([]() -> int { throw std::bad_alloc(); }), ErrorKind::no_resources,
              "not enough memory");
  CHECK_ERROR(ops::with_torch_errors([]() -> int { fail(ErrorKind::bad_input, "ours"); }),
              ErrorKind::bad_input, "ours");
  CHECK(ops::with_torch_errors([] { return 3; }) == 3);
  try {
    fails("sizes do not match");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
  }
}

}  // namespace a48::test
