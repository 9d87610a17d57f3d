// The bridge refuses what kernels cannot read, by name, and copies only when it must.
#include "core/ops/bridge.h"

#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::test {

TEST_CASE("matrix_of flattens leading dimensions without a copy and makes other layouts contiguous") {
  const at::Tensor x = torch::arange(24, torch::kFloat).view({2, 3, 4});
  const at::Tensor matrix = ops::matrix_of(x, "x");
  CHECK(matrix.sizes() == at::IntArrayRef({6, 4}));
  CHECK(matrix.data_ptr() == x.data_ptr());
  const at::Tensor turned = ops::matrix_of(x.transpose(0, 1), "x");
  CHECK(turned.is_contiguous());
  CHECK(turned[1][0].item<float>() == 12.0f);
  CHECK(ops::rows_of<const float>(turned).row(1)[0] == 12.0f);
}

TEST_CASE("matrix_of refuses other dtypes and devices by name") {
  CHECK_ERROR(ops::matrix_of(torch::zeros({2, 2}, torch::kDouble), "input"), ErrorKind::config, "input",
              "fp32");
  CHECK_ERROR(ops::matrix_of(torch::zeros({2, 2}, torch::kMeta), "input"), ErrorKind::config, "input",
              "meta");
  CHECK_ERROR(ops::matrix_of(torch::zeros({2, 0}), "input"), ErrorKind::config, "empty");
  CHECK_ERROR(ops::matrix_of(torch::zeros({}), "input"), ErrorKind::config, "dimension");
}

}  // namespace a48::test
