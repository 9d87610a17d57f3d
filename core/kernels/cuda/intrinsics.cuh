// All inline PTX, one wrapper an instruction, each with its meaning in plain C++ for g++
// (tests/cuda_on_host), element by element as the PTX manual lays out the fragments. Needs sm_80.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace a48::kernels::cuda {

#if defined(__CUDACC__)

/// c + Σ_i a_i·b_i over the four bytes, a unsigned, b signed.
__device__ __forceinline__ int dp4a_u8_s8(std::uint32_t a, std::uint32_t b, int c) {
  int d;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// The same, both signed.
__device__ __forceinline__ int dp4a_s8_s8(std::uint32_t a, std::uint32_t b, int c) {
  int d;
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// d += A·B for A [16, 32] and B [32, 8] of int8, d [16, 8] of int32, spread over the warp. With group =
/// lane / 4 and t = lane % 4, byte i of
///   a[0] = A[group, 4t + i]   a[1] = A[group + 8, 4t + i]   a[2], a[3]: the same 16 columns on
///   b[0] = B[4t + i, group]   b[1] = B[16 + 4t + i, group]
///   d[0], d[1] = D[group, 2t], D[group, 2t + 1]   d[2], d[3]: the same 8 rows down
__device__ __forceinline__ void mma_m16n8k32_s8(int (&d)[4], const std::uint32_t (&a)[4],
                                                const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four 8 × 16-byte matrices from shared memory: lane l gives the address of row l % 8 of matrix l / 8 and
/// gets in r[m] bytes 4·(l % 4) … of row l / 4 of matrix m.
__device__ __forceinline__ void load_matrix_x4(std::uint32_t (&r)[4], const void* row) {
  const std::uint32_t address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// Starts a copy of the first `bytes` (0 … 16) of 16 bytes from global to shared memory, zeros behind.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, int bytes) {
  const std::uint32_t address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits for all groups of this thread's copies but the kPending latest; others see them after a barrier.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// 16 bytes that are read once: past L1.
__device__ __forceinline__ uint4 load_once(const void* global) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(global));
  return v;
}

#else

inline int byte_of(const std::uint32_t* registers, int i) {  // signed; i counts over the registers
  return static_cast<std::int8_t>(registers[i / 4] >> (8 * (i % 4)) & 0xffu);
}

inline int dp4a_u8_s8(std::uint32_t a, std::uint32_t b, int c) {
  for (int i = 0; i < 4; ++i) c += (byte_of(&a, i) & 0xff) * byte_of(&b, i);
  return c;
}

inline int dp4a_s8_s8(std::uint32_t a, std::uint32_t b, int c) {
  for (int i = 0; i < 4; ++i) c += byte_of(&a, i) * byte_of(&b, i);
  return c;
}

struct MmaLane {
  int* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

inline void mma_of_warp(unsigned mask, void* const* lanes, cuda_on_host::Where where) {
  if (mask != 0xffffffffu) cuda_on_host::fault("mma takes the whole warp", where);
  static std::int16_t a[16][32], b_columns[8][32];
  static int sum[16][8];
  const auto lane_of = [&](int lane) -> const MmaLane& { return *static_cast<const MmaLane*>(lanes[lane]); };
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, t = lane % 4;
    for (int i = 0; i < 16; ++i) {  // byte i % 4 of register i / 4
      const int row = i / 4 % 2 == 0 ? group : group + 8;
      const int col = 4 * t + i % 4 + (i / 4 < 2 ? 0 : 16);
      a[row][col] = static_cast<std::int16_t>(byte_of(lane_of(lane).a, i));
    }
    for (int i = 0; i < 8; ++i)
      b_columns[group][4 * t + i % 4 + (i / 4 == 0 ? 0 : 16)] =
          static_cast<std::int16_t>(byte_of(lane_of(lane).b, i));
  }
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      int dot = 0;
      for (int k = 0; k < 32; ++k) dot += a[m][k] * b_columns[n][k];
      sum[m][n] = dot;
    }
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) lane_of(lane).d[i] += sum[lane / 4 + (i < 2 ? 0 : 8)][lane % 4 * 2 + i % 2];
}

inline void mma_m16n8k32_s8(int (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                            cuda_on_host::Where where = cuda_on_host::Where::current()) {
  MmaLane mine{d, a, b};
  cuda_on_host::collective("mma", 0xffffffffu, &mine, mma_of_warp, where);
}

struct LoadMatrixLane {
  const void* row;
  std::uint32_t* r;
};

inline void load_matrix_of_warp(unsigned, void* const* lanes, cuda_on_host::Where where) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int m = 0; m < 4; ++m) {
      const void* row = static_cast<const LoadMatrixLane*>(lanes[8 * m + lane / 4])->row;
      if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
        cuda_on_host::fault("ldmatrix from a row that does not start at a multiple of 16", where);
      std::memcpy(&static_cast<LoadMatrixLane*>(lanes[lane])->r[m],
                  static_cast<const unsigned char*>(row) + 4 * (lane % 4), 4);
    }
  }
}

inline void load_matrix_x4(std::uint32_t (&r)[4], const void* row,
                           cuda_on_host::Where where = cuda_on_host::Where::current()) {
  LoadMatrixLane mine{row, r};
  cuda_on_host::collective("ldmatrix", 0xffffffffu, &mine, load_matrix_of_warp, where);
}

inline void cp_async_16(void* shared, const void* global, int bytes,
                        cuda_on_host::Where where = cuda_on_host::Where::current()) {
  cuda_on_host::copy_later(shared, global, static_cast<unsigned>(bytes), 16, where);
}
inline void cp_async_commit() { cuda_on_host::commit_copies(); }
template <int kPending>
void cp_async_wait() {
  cuda_on_host::wait_copies(kPending);
}

inline uint4 load_once(const void* global, cuda_on_host::Where where = cuda_on_host::Where::current()) {
  return cuda_on_host::load(static_cast<const uint4*>(global), where);
}

#endif

}  // namespace a48::kernels::cuda
