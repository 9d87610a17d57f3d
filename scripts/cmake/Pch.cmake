# The two precompiled headers: ATen/core/Tensor.h for core/ops, torch/torch.h for what stands above it.
# a48_use_torch_header(<target> tensor|torch) gives a target one of them, together with LibTorch.
#
# torch/torch.h is named in this file only; sources above core/ops get it without an #include. It takes
# 2 GB to compile once and 700 MB to use, hence the job pool.
if(NOT A48_TORCH)
  return()
endif()

cmake_host_system_information(RESULT free_mib QUERY AVAILABLE_PHYSICAL_MEMORY)
if(EXISTS /proc/meminfo)  # counts what the page cache can give back; the query above does not
  file(STRINGS /proc/meminfo line REGEX "^MemAvailable:")
  string(REGEX MATCH "[0-9]+" free_kib "${line}")
  math(EXPR free_mib "${free_kib} / 1024")
endif()
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
math(EXPR torch_jobs "${free_mib} / 2048")
if(torch_jobs GREATER cores)
  set(torch_jobs ${cores})
elseif(torch_jobs LESS 1)
  set(torch_jobs 1)
endif()
set_property(GLOBAL APPEND PROPERTY JOB_POOLS torch_compile=${torch_jobs})
message(STATUS "Compile jobs with LibTorch headers at a time: ${torch_jobs}")

set(A48_HEADER_tensor "ATen/core/Tensor.h")
set(A48_HEADER_torch "torch/torch.h")

if(A48_PCH)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/pch/owner.cpp" CONTENT "// Owns a precompiled header.\n")
  foreach(which tensor torch)
    add_library(a48_pch_${which} OBJECT "${PROJECT_BINARY_DIR}/pch/owner.cpp")
    target_link_libraries(a48_pch_${which} PRIVATE a48::torch_cpu)
    target_precompile_headers(a48_pch_${which} PRIVATE "<${A48_HEADER_${which}}>")
    set_target_properties(a48_pch_${which} PROPERTIES JOB_POOL_COMPILE torch_compile CXX_SCAN_FOR_MODULES OFF)
  endforeach()
endif()

function(a48_use_torch_header target which)
  target_link_libraries(${target} PUBLIC a48::torch_cpu)
  set_target_properties(${target} PROPERTIES JOB_POOL_COMPILE torch_compile)
  if(A48_PCH)
    target_precompile_headers(${target} REUSE_FROM a48_pch_${which})
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${target} PRIVATE -Werror=invalid-pch)  # otherwise a mere warning, and slow
    endif()
  else()
    target_compile_options(${target} PRIVATE "SHELL:-include ${A48_HEADER_${which}}")
  endif()
endfunction()
