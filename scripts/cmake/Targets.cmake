# a48_library, a48_program and a48_cuda_library: how every target of the tree is built. Include paths start at the
# repository root; who may include whom is scripts/check_layers.py's business.

# a48_library(<name> [STRICT] [TORCH tensor|torch] SOURCES <file>… [DEPS <target>…] [PRIVATE <target>…])
#   STRICT   warnings are errors under A48_WERROR (floors 0 to 3)
#   TORCH    the LibTorch header that its sources see (Pch.cmake)
#   DEPS     our own targets, visible to users of the library; PRIVATE: third-party ones
# A static library; without sources, an INTERFACE library.
function(a48_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "STRICT" "TORCH" "SOURCES;DEPS;PRIVATE")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "a48_library(${name}): do not know what to do with ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SOURCES)
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(${name} INTERFACE ${arg_DEPS})
    if(arg_TORCH)
      target_link_libraries(${name} INTERFACE a48::torch_cpu)
    endif()
    return()
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE})
  a48_compile_like_us(${name} ${arg_STRICT} "${arg_TORCH}")
endfunction()

# a48_program(<name> [STRICT] [TORCH tensor|torch] SOURCES <file>… [DEPS <target>…]), in the root of the
# build folder.
function(a48_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "STRICT" "TORCH" "SOURCES;DEPS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "a48_program(${name}): do not know what to do with ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SOURCES)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
  a48_compile_like_us(${name} ${arg_STRICT} "${arg_TORCH}")
endfunction()

# a48_cuda_library(<name> SOURCES <file>.cu… [DEPS <target>…]): nothing without nvcc.
function(a48_cuda_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  if(NOT A48_HAVE_NVCC)
    return()
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PUBLIC ${arg_DEPS})
  a48_compile_like_us(${name} OFF "")
endfunction()

# Warnings, ccache or precompiled header of a target with sources.
function(a48_compile_like_us target strict torch)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wconversion>")
  if(strict AND A48_WERROR)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-Werror>")
  endif()
  if(A48_CCACHE)
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "${A48_CCACHE}"
                                               CUDA_COMPILER_LAUNCHER "${A48_CCACHE}")
  endif()
  if(torch)
    a48_use_torch_header(${target} ${torch})
  endif()
endfunction()

# a48_version: the header "a48_version.h" with a48::kVersion and a48::kCommit, rewritten at build time and
# only when it changes, so that a commit recompiles just the files that include it.
set(version_header "${PROJECT_BINARY_DIR}/generated/a48_version.h")
add_custom_target(a48_version_header
  COMMAND "${CMAKE_COMMAND}" -DSOURCE=${PROJECT_SOURCE_DIR} -DVERSION=${PROJECT_VERSION} -DHEADER=${version_header}
          -P "${PROJECT_SOURCE_DIR}/scripts/cmake/write_version.cmake"
  BYPRODUCTS "${version_header}" COMMENT "" VERBATIM)
add_library(a48_version INTERFACE)
target_include_directories(a48_version INTERFACE "${PROJECT_BINARY_DIR}/generated")
add_dependencies(a48_version a48_version_header)
