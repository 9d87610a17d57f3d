# a48_test_binary and a48_test: Catch2 binaries with one ctest entry per test file; a48_script_test for
# tests that are programs of their own. Exit status 77 means skipped.
if(NOT A48_TESTS)
  return()
endif()
enable_testing()

# The Python of script tests: the project's, which has NumPy.
set(A48_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python")
if(NOT EXISTS "${A48_PYTHON}")
  set(A48_PYTHON python3)
endif()

# a48_test_binary(<name> [TORCH torch] [DEPS <target>…])
function(a48_test_binary name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TORCH" "DEPS")
  add_executable(${name})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE a48_test_main ${arg_DEPS})
  a48_compile_like_us(${name} OFF "${arg_TORCH}")
endfunction()

# a48_test(<binary> <file>… [LABELS <label>…] [TIMEOUT <seconds>])
# Labels: fast (the default), slow, gpu, oracle, resume. Stems are unique within a binary, because Catch2
# selects by them.
function(a48_test binary)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS")
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(NOT TARGET ${binary})
    return()
  endif()
  foreach(file IN LISTS arg_UNPARSED_ARGUMENTS)
    target_sources(${binary} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    cmake_path(GET file STEM stem)
    get_property(stems TARGET ${binary} PROPERTY A48_STEMS)
    if(stem IN_LIST stems)
      message(FATAL_ERROR "${binary} has two test files named ${stem}.")
    endif()
    set_property(TARGET ${binary} APPEND PROPERTY A48_STEMS ${stem})
    file(RELATIVE_PATH folder "${PROJECT_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
    a48_add_test("${folder}/${stem}" COMMAND ${binary} --filenames-as-tags "[#${stem}]"
                 LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT})
  endforeach()
endfunction()

# a48_script_test(<name> COMMAND <command>… [LABELS <label>…] [TIMEOUT <seconds>])
# Generator expressions such as $<TARGET_FILE:a48> may stand in the command.
function(a48_script_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;COMMAND")
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  a48_add_test("${name}" COMMAND ${arg_COMMAND} LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT})
endfunction()

function(a48_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;COMMAND")
  add_test(NAME "${name}" COMMAND ${arg_COMMAND} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  # Threads that wait do so asleep: tests share the cores with each other.
  if(A48_SANITIZE)      # 10 to 30 times as slow
    math(EXPR arg_TIMEOUT "4 * ${arg_TIMEOUT}")
  endif()
  set_tests_properties("${name}" PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
                       ENVIRONMENT "OMP_WAIT_POLICY=passive")
endfunction()
