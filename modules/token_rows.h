// The real tokens of a batch as rows, sequence after sequence: the network computes on rows [R, D], so
// padding never enters it.
#pragma once

#include <cstdint>
#include <vector>

#include "modules/pass.h"

namespace a48::nn {

struct TokenRows {
  std::int64_t batch = 0, length = 0;  // the batch they come from: [B, T]
  at::Tensor position;                 // int32 [R] on the CPU: running count of the sequence's real tokens
  std::vector<std::int64_t> begin;     // [B + 1]: rows of sequence b are begin[b] … begin[b+1]−1
  at::Tensor place;                    // int64 [R]: b·T + t of each row; undefined when every token is real

  std::int64_t rows() const { return begin.back(); }
};

/// mask: undefined, or [B, T] of 0 and 1 (bool, integer or float), 1 = real. Any other shape or value is
/// Error(config).
TokenRows token_rows(std::int64_t batch, std::int64_t length, const at::Tensor& mask = {});

/// The tensor on `device`: itself, or a copy that the host does not wait for.
at::Tensor uploaded(const at::Tensor& tensor, torch::Device device);

/// How layers compute these rows beside `tensor`, a weight or an input: on its device; there is no exact
/// attention on a GPU.
Pass pass_beside(const at::Tensor& tensor, const TokenRows& rows, bool exact);

/// [B, T, …] -> the real tokens' rows [R, …].
at::Tensor gather_rows(const at::Tensor& tokens, const TokenRows& rows);
/// Rows [R, C] -> [B, T, C], 0 at padding.
at::Tensor spread_rows(const at::Tensor& rows, const TokenRows& where);

}  // namespace a48::nn
