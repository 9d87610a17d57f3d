// From [B, T] with a mask to rows of real tokens, and back.
#include "modules/token_rows.h"

#include "core/base/check.h"
#include "core/ops/device.h"

namespace a48::nn {
namespace {

/// The mask as bytes [B·T].
at::Tensor real_tokens(const at::Tensor& mask, std::int64_t batch, std::int64_t length) {
  A48_CHECK(mask.dim() == 2 && mask.size(0) == batch && mask.size(1) == length, ErrorKind::config,
            "attention mask: shape ", mask.sizes(), "; allowed: [", batch, ", ", length,
            "], one 0 (padding) or 1 (real) per token");
  const at::Tensor real = mask.ne(0);
  A48_CHECK(real.eq(mask).all().item<bool>(), ErrorKind::config, "attention mask: values other than 0 and 1");
  return real.to(torch::kByte).contiguous().view({batch * length});
}

}  // namespace

TokenRows token_rows(std::int64_t batch, std::int64_t length, const at::Tensor& mask) {
  const at::Tensor real = mask.defined() ? real_tokens(mask, batch, length) : at::Tensor();
  const bool padded = real.defined() && !real.all().item<bool>();

  TokenRows rows{.batch = batch, .length = length, .position = {}, .begin = {0}, .place = {}};
  std::vector<std::int64_t> place;
  std::vector<std::int32_t> position;
  position.reserve(static_cast<std::size_t>(batch * length));
  for (std::int64_t b = 0; b < batch; ++b) {
    std::int32_t count = 0;
    for (std::int64_t t = 0; t < length; ++t) {
      if (padded && real.data_ptr<std::uint8_t>()[b * length + t] == 0) continue;
      position.push_back(count++);
      if (padded) place.push_back(b * length + t);
    }
    rows.begin.push_back(static_cast<std::int64_t>(position.size()));
  }
  rows.position = torch::tensor(position, torch::kInt);
  if (padded) rows.place = torch::tensor(place, torch::kLong);
  return rows;
}

at::Tensor uploaded(const at::Tensor& tensor, torch::Device device) {
  if (tensor.device() == device) return tensor;
  const bool pinned = device.is_cuda() && tensor.is_cpu();  // a copy from other memory waits for the stream
  return (pinned ? tensor.pin_memory() : tensor).to(device, /*non_blocking=*/pinned);
}

Pass pass_beside(const at::Tensor& tensor, const TokenRows& rows, bool exact) {
  return {.position = uploaded(rows.position, tensor.device()),
          .begin = rows.begin,
          .exact = exact && !ops::on_device(tensor)};
}

at::Tensor gather_rows(const at::Tensor& tokens, const TokenRows& rows) {
  const at::Tensor flat = tokens.flatten(0, 1);
  return rows.place.defined() ? flat.index_select(0, uploaded(rows.place, flat.device())) : flat;
}

at::Tensor spread_rows(const at::Tensor& rows, const TokenRows& where) {
  const at::Tensor flat = where.place.defined()
                              ? torch::zeros({where.batch * where.length, rows.size(1)}, rows.options())
                                    .index_copy(0, uploaded(where.place, rows.device()), rows)
                              : rows;
  return flat.view({where.batch, where.length, rows.size(1)});
}

}  // namespace a48::nn
