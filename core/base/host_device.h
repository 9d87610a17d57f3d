// Function attributes for code that compiles for the host, for every instruction set and under nvcc.
#pragma once

#if defined(__CUDACC__)
#define A48_HD __host__ __device__
#else
#define A48_HD
#endif

// Always inlined: a shared out-of-line copy built for AVX2 must never reach the portable path.
#if defined(__CUDACC__)
#define A48_INLINE __host__ __device__ __forceinline__
#else
#define A48_INLINE inline __attribute__((always_inline))
#endif
