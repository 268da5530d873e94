# SPDX-License-Identifier: Apache-2.0
# Finds every library in one place. An installed Kokkos or MPI (a module, Spack) is used when CMake finds it;
# scripts/setup builds Kokkos only where there is none.
find_package(Threads REQUIRED)
if(NOT POLYPHASE_FUZZ)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  find_package(Kokkos REQUIRED)
  find_package(MPI REQUIRED COMPONENTS CXX)
  find_package(CLI11 REQUIRED)
endif()
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sentencepiece REQUIRED IMPORTED_TARGET sentencepiece)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
# find_package(dnnl) asks for OpenCL headers on Debian, which nothing here needs.
if(NOT POLYPHASE_CUDA AND NOT POLYPHASE_FUZZ)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
endif()

if(POLYPHASE_CUDA)
  find_package(CUDAToolkit REQUIRED)
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(NOT NCCL_LIBRARY OR NOT NCCL_INCLUDE_DIR)
    message(WARNING "No NCCL here: sums between devices go by way of the host's memory and MPI, which is slow. Set "
                    "NCCL_LIBRARY and NCCL_INCLUDE_DIR to where it is.")
  endif()
endif()

# Flags of every target of ours, and of nothing else.
add_library(polyphase_options INTERFACE)
target_compile_options(polyphase_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers>)
if(NOT POLYPHASE_CUDA AND POLYPHASE_ARCH)
  target_compile_options(polyphase_options INTERFACE -march=${POLYPHASE_ARCH})
endif()
if(POLYPHASE_SANITIZE)
  target_compile_options(polyphase_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer)
  target_link_options(polyphase_options INTERFACE -fsanitize=address,undefined)
endif()
if(POLYPHASE_FUZZ)
  # The JSON library converts a real number to a whole one whether it fits or not; the reader then has some other number,
  # which it must stand like any.
  set(fuzz_options -fsanitize=address,undefined -fno-sanitize=float-cast-overflow -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  target_compile_options(polyphase_options INTERFACE -fsanitize=fuzzer-no-link ${fuzz_options})
  target_link_options(polyphase_options INTERFACE ${fuzz_options})
endif()
if(POLYPHASE_CUDA)
  # nvcc cannot evaluate fmt's checks of format strings at compile time.
  target_compile_definitions(polyphase_options INTERFACE FMT_CONSTEVAL= FMT_USE_CONSTEXPR=1)
endif()
