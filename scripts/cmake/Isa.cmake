# a48_isa_sources(<target> avx2|avx512|avx512_bf16 <file>…): adds sources that are compiled for more than
# the baseline x86-64, each with the flags of its level, and tells the target that the level is present
# (A48_HAVE_AVX2, A48_HAVE_AVX512). On other processors the files are left out.
#
# Such a file may hold no shared inline function: see tests/scripts/check_isa_objects.py.
set(A48_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
set(A48_ISA_FLAGS_avx512 ${A48_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
                         -mprefer-vector-width=512)
# g++ 12 warns about its own AVX-512 headers, whose "undefined" registers are variables set to themselves.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND A48_ISA_FLAGS_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)
endif()
set(A48_ISA_FLAGS_avx512_bf16 ${A48_ISA_FLAGS_avx512} -mavx512bf16)

set(A48_X86_64 OFF)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(A48_X86_64 ON)
endif()

function(a48_isa_sources target level)
  if(NOT DEFINED A48_ISA_FLAGS_${level})
    message(FATAL_ERROR "a48_isa_sources(${target} ${level}): the levels are avx2, avx512, avx512_bf16.")
  endif()
  if(NOT A48_X86_64 OR NOT ARGN)
    return()
  endif()
  target_sources(${target} PRIVATE ${ARGN})
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS ${A48_ISA_FLAGS_${level}})
  if(level STREQUAL "avx2")
    target_compile_definitions(${target} PRIVATE A48_HAVE_AVX2)
  else()
    target_compile_definitions(${target} PRIVATE A48_HAVE_AVX512)
  endif()
endfunction()
