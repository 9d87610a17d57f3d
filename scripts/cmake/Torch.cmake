# LibTorch: where it is and how it is linked. Gives a48::torch_cpu, and a48::torch_cuda with
# A48_TORCH_CUDA when the CUDA libraries of this LibTorch can be loaded here.
#
# LibTorch's own CMake package is not used: with a CUDA wheel it stops without a CUDA toolkit, changes
# CMAKE_CUDA_FLAGS and links every library of the vendor.
if(NOT A48_TORCH)
  return()
endif()

set(A48_TORCH_WANTED "2.11")

# The version of the LibTorch in `root` ("" when there is none), read from its header.
function(a48_torch_version root out)
  set(${out} "" PARENT_SCOPE)
  set(header "${root}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${header}")
    set(header "${root}/include/torch/csrc/api/include/torch/version.h")
  endif()
  if(NOT EXISTS "${header}" OR NOT EXISTS "${root}/lib/libtorch_cpu.so")
    return()
  endif()
  file(STRINGS "${header}" lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
  list(JOIN numbers "." version)
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

# In this order: an install the user points at, the project's environment, the python3 on PATH.
set(candidates "")
set(prefixes "$ENV{CMAKE_PREFIX_PATH}")
string(REPLACE ":" ";" prefixes "${prefixes}")
foreach(prefix IN LISTS CMAKE_PREFIX_PATH prefixes)
  list(APPEND candidates "${prefix}" "${prefix}/libtorch" "${prefix}/torch")
endforeach()
file(GLOB from_venv "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
list(APPEND candidates ${from_venv})
find_program(A48_PYTHON3 python3)
mark_as_advanced(A48_PYTHON3)
if(A48_PYTHON3)
  execute_process(  # finds the package without importing it
    COMMAND "${A48_PYTHON3}" -c
            "import importlib.util as u, os; s = u.find_spec('torch'); print(os.path.dirname(s.origin) if s and s.origin else '')"
    OUTPUT_VARIABLE from_python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(from_python)
    list(APPEND candidates "${from_python}")
  endif()
endif()

unset(torch_root)
set(rejected "")
foreach(candidate IN LISTS candidates)
  a48_torch_version("${candidate}" version)
  if(version AND NOT DEFINED torch_root)
    if(A48_TORCH_ANY_VERSION OR version MATCHES "^2[.]11[.]")
      set(torch_root "${candidate}")
      set(torch_version "${version}")
    else()
      list(APPEND rejected "${candidate} is ${version}")
    endif()
  endif()
endforeach()
if(NOT DEFINED torch_root)
  list(JOIN rejected "\n  " rejected)
  message(FATAL_ERROR "LibTorch ${A48_TORCH_WANTED} was not found.\n  ${rejected}\n"
          "scripts/setup.sh installs it into .venv; or give the folder of an installed one with "
          "-DCMAKE_PREFIX_PATH=…; A48_TORCH_ANY_VERSION=ON accepts another version; A48_TORCH=OFF builds "
          "the part that does not need it.")
endif()
set(A48_TORCH_ROOT "${torch_root}")
message(STATUS "LibTorch ${torch_version}: ${torch_root}")

add_library(a48::torch_cpu INTERFACE IMPORTED GLOBAL)
target_include_directories(a48::torch_cpu SYSTEM INTERFACE
  "${torch_root}/include" "${torch_root}/include/torch/csrc/api/include")
target_link_libraries(a48::torch_cpu INTERFACE "${torch_root}/lib/libtorch_cpu.so" "${torch_root}/lib/libc10.so")
# at::parallel_for is a template that runs serially in a file compiled without -fopenmp. LibTorch brings its
# own OpenMP runtime; a program that linked another would have two thread pools.
target_compile_options(a48::torch_cpu INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
file(GLOB openmp_runtime "${torch_root}/lib/libgomp*.so*")
if(openmp_runtime)
  target_link_libraries(a48::torch_cpu INTERFACE ${openmp_runtime})
else()
  target_link_options(a48::torch_cpu INTERFACE -fopenmp)
endif()
# libtorch_cpu.so finds its siblings by its own rpath, which the linker does not follow.
target_link_options(a48::torch_cpu INTERFACE "-Wl,-rpath,${torch_root}/lib" -Wl,--allow-shlib-undefined)

# Tensors on a GPU need every library that libtorch_cuda.so names; the small set-up lacks most of them.
set(A48_TORCH_CUDA OFF)
if(EXISTS "${torch_root}/lib/libtorch_cuda.so")
  execute_process(COMMAND ldd "${torch_root}/lib/libtorch_cuda.so"
                  OUTPUT_VARIABLE needed RESULT_VARIABLE ldd_failed ERROR_QUIET)
  if(NOT ldd_failed AND NOT needed MATCHES "not found")
    set(A48_TORCH_CUDA ON)
  endif()
  add_library(a48::torch_cuda INTERFACE IMPORTED GLOBAL)
  # Nothing refers to a symbol of libtorch_cuda.so: without --no-as-needed it would be dropped, and
  # CUDA would be silently unavailable.
  target_link_libraries(a48::torch_cuda INTERFACE a48::torch_cpu -Wl,--no-as-needed
    "${torch_root}/lib/libtorch_cuda.so" "${torch_root}/lib/libc10_cuda.so" -Wl,--as-needed)
endif()
