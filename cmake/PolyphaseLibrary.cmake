# SPDX-License-Identifier: Apache-2.0
# For code whose speed nobody waits for: a release is built in less time. Not for what is compared to the last bit.
add_library(polyphase_quick_build INTERFACE)
target_compile_options(polyphase_quick_build INTERFACE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>)

# polyphase_library(NAME SOURCES … [PUBLIC …] [PRIVATE …]): one folder, one library. A folder links only what it may
# include, so that a wrong include does not link (and, for headers, does not find its vendor's include path).
function(polyphase_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(polyphase_${name} STATIC ${arg_SOURCES})
  add_library(polyphase::${name} ALIAS polyphase_${name})
  target_include_directories(polyphase_${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(polyphase_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE} polyphase_options)
endfunction()

# polyphase_test(NAME SOURCES … LIBRARIES … [RANKS 1 2 4]): a GoogleTest program, run once, or once for each number of
# ranks under mpirun (its main function is then its own, since it starts MPI).
function(polyphase_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES;RANKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest polyphase_options polyphase_quick_build)
  if(NOT arg_RANKS)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
    if(POLYPHASE_SANITIZE)  # MPI is not started here, so what is never freed is ours
      set_tests_properties(${name} PROPERTIES ENVIRONMENT ASAN_OPTIONS=detect_leaks=1)
    endif()
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}_${ranks}_ranks
             COMMAND ${PROJECT_SOURCE_DIR}/scripts/mpi ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_${ranks}_ranks PROPERTIES PROCESSORS ${ranks})
  endforeach()
endfunction()
