# SPDX-License-Identifier: Apache-2.0
# For code whose speed nobody waits for: a release is built in less time. Not for what is compared to the last bit.
add_library(polyphase_quick_build INTERFACE)
if(NOT POLYPHASE_CUDA)  # nvcc takes one such option
  target_compile_options(polyphase_quick_build INTERFACE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>)
endif()

# A build from nothing takes a third of the processor time where files of a folder are compiled together, eight at a time;
# after a change of one file, seven more are compiled again. So names in a folder's unnamed namespaces must not clash.
option(POLYPHASE_UNITY "Compile the files of a folder together" ON)

function(polyphase_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${POLYPHASE_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  # A file that another includes is a header to the compiler, which must not use what an unnamed namespace holds.
  if(POLYPHASE_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

# polyphase_library(NAME [HOST] SOURCES … [PUBLIC …] [PRIVATE …]): one folder, one library. A folder links only what it may
# include, so that a wrong include does not link (and, for headers, does not find its vendor's include path). HOST: it knows
# nothing of tensors, so that nvcc need not read it; the host's compiler does in a fifth of the time.
function(polyphase_library name)
  cmake_parse_arguments(arg "HOST" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(polyphase_${name} STATIC ${arg_SOURCES})
  add_library(polyphase::${name} ALIAS polyphase_${name})
  target_include_directories(polyphase_${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(polyphase_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE} polyphase_options)
  polyphase_compile_together(polyphase_${name})
  if(arg_HOST AND CMAKE_CXX_COMPILER MATCHES "nvcc_wrapper$")
    target_compile_options(polyphase_${name} PRIVATE --host-only)
  endif()
endfunction()

# What nvcc is told beside the rest where there are kernels: machine code for further architectures (scripts/kokkos). Kokkos's
# compiler takes the flags of one.
set(POLYPHASE_NVCC_FLAGS "" CACHE STRING "Flags of nvcc for libraries with kernels")

function(polyphase_has_kernels target)
  if(POLYPHASE_NVCC_FLAGS)
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "env;NVCC_APPEND_FLAGS=${POLYPHASE_NVCC_FLAGS}")
  endif()
endfunction()

# polyphase_test(NAME SOURCES … LIBRARIES … [RANKS 1 2 4] [APART]): a GoogleTest program, run once, or once for each
# number of ranks under mpirun (its main function is then its own, since it starts MPI). APART: its files have names in
# common, and are not compiled together.
function(polyphase_test name)
  cmake_parse_arguments(arg "APART" "" "SOURCES;LIBRARIES;RANKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} GTest::gtest polyphase_options polyphase_quick_build)
  if(NOT arg_APART)
    polyphase_compile_together(${name})
  endif()
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
    # A rank's kernels are so small here that threads would only wait for each other; and ranks that wait must not keep the
    # processors from those they wait for. (Open MPI sees to it by itself only where ranks are more than processors.)
    set_tests_properties(${name}_${ranks}_ranks PROPERTIES
                         ENVIRONMENT "OMP_NUM_THREADS=1;OMPI_MCA_mpi_yield_when_idle=1")
  endforeach()
endfunction()

# polyphase_forbid_host_access(TEST …): these die where host code touches a tensor (tests/host_access).
function(polyphase_forbid_host_access)
  foreach(name IN LISTS ARGN)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT KOKKOS_PROFILE_LIBRARY=$<TARGET_FILE:forbid_host_access>
                 LD_PRELOAD=$<TARGET_FILE:forbid_host_access>)
  endforeach()
endfunction()
