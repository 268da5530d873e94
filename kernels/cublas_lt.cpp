// SPDX-License-Identifier: Apache-2.0
#include "kernels/cublas_lt.hpp"

#include <cublasLt.h>

#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "base/log.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase::cublas_lt {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail<SystemError>("{} failed: {}", call, cublasGetStatusString(status));
}

// One of the library's descriptors, destroyed with its owner.
template <class Handle, cublasStatus_t (*destroy)(Handle)>
struct Destroy {
  using pointer = Handle;
  void operator()(Handle handle) const { destroy(handle); }
};
using Library = std::unique_ptr<void, Destroy<cublasLtHandle_t, cublasLtDestroy>>;
using Operation = std::unique_ptr<void, Destroy<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<void, Destroy<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Preference =
    std::unique_ptr<void, Destroy<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

template <class T>
constexpr cudaDataType_t kDataType = sizeof(T) == sizeof(float) ? CUDA_R_32F : CUDA_R_16BF;

// Everything that the choice of an algorithm depends on; alignments are in bytes.
struct Key {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b, accumulate;
  cudaDataType_t in, out;
  Epilogue epilogue;
  std::uint32_t alignment_a, alignment_b, alignment_y;
  auto operator<=>(const Key&) const = default;
};

// No more than any place in the arena has: a product that is taken again elsewhere must give the
// same bits.
constexpr std::uint32_t kMostAlignment = 16;
std::uint32_t alignment(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | kMostAlignment;
  return static_cast<std::uint32_t>(bits & -bits);
}

// A product made ready for one shape; addresses are set call by call. The library counts columns
// first: seen that way row-major tensors are transposed, and yᵀ = op(b)ᵀ · op(a)ᵀ.
struct Product {
  Operation operation;
  Layout first, second, result;  // bᵀ, aᵀ, yᵀ
  cublasLtMatmulAlgo_t algorithm;
};

Layout make_layout(cudaDataType_t type, std::int64_t num_rows, std::int64_t num_columns) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(num_columns),
                                   static_cast<std::uint64_t>(num_rows), num_columns),
        "cublasLtMatrixLayoutCreate");
  return Layout(made);
}

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

template <class T>
void prefer(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
            const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

void set_extra(const Operation& operation, const Extra& extra) {
  if (extra.bias != nullptr) set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, extra.bias);
  if (extra.aux != nullptr) set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, extra.aux);
}

cublasLtEpilogue_t library_epilogue(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kBiasGelu:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::kGeluSlope:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::kBiasGradient:
      return CUBLASLT_EPILOGUE_BGRADB;  // aᵀ is the library's second operand
  }
  POLYPHASE_PROMISE(false, "there is no epilogue {}", static_cast<int>(epilogue));
}

Operation make_operation(const Key& key, const Extra& extra) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  Operation operation(made);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, library_epilogue(key.epilogue));
  if (extra.aux != nullptr) set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, key.n);
  set_extra(operation, extra);
  return operation;
}

// Empty where the library has no algorithm.
std::optional<Product> prepare(cublasLtHandle_t library, const Key& key, const Extra& extra) {
  Product product{.operation = make_operation(key, extra),
                  .first = key.transpose_b ? make_layout(key.in, key.n, key.k)
                                           : make_layout(key.in, key.k, key.n),
                  .second = key.transpose_a ? make_layout(key.in, key.k, key.m)
                                            : make_layout(key.in, key.m, key.k),
                  .result = make_layout(key.out, key.m, key.n)};
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Preference preference(made);
  prefer(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignment_b);
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignment_a);
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignment_y);
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignment_y);
  cublasLtMatmulHeuristicResult_t found{};
  int num_found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      library, product.operation.get(), product.first.get(), product.second.get(),
      product.result.get(), product.result.get(), preference.get(), 1, &found, &num_found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  // Some versions answer so to an epilogue that they lack for these types; once for each product.
  if (status == CUBLAS_STATUS_INVALID_VALUE) {
    log_info("cublasLt does not take a product of {} × {} × {}; its steps follow one another",
             key.m, key.n, key.k);
    return std::nullopt;
  }
  check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (num_found == 0) return std::nullopt;
  check(found.state, "cublasLtMatmulAlgoGetHeuristic");
  product.algorithm = found.algo;
  return product;
}

}  // namespace

Tensor1<const bf16> rounded_bias(const Exec& exec, const Tensor1<const float>& bias_N,
                                 const Tensor1<const bf16>& rounded_bias_N) {
  if (rounded_bias_N.extent(0) != 0) return rounded_bias_N;
  const auto rounded = exec.arena->take1<bf16>(static_cast<std::int64_t>(bias_N.extent(0)));
  convert<bf16, float>(exec, rounded, bias_N);
  return rounded;
}

template <class In, class Out>
bool multiply(const Exec& exec, const Tensor2<Out>& y_MN, const Tensor2<const In>& a,
              Transpose op_a, const Tensor2<const In>& b, Transpose op_b, Write write,
              const Extra& extra) {
  const ArenaScope scope(*exec.arena);
  const auto memory =
      exec.arena->take1<std::byte>(kWorkspaceBytes + kWorkspaceAlignment - Arena::kAlignment);
  const ProductExtents e = product_extents(y_MN, a, op_a, b, op_b, {});
  if (exec.counting() || e.m * e.n * e.k == 0) return false;
  if (alignment(extra.bias) < kMostAlignment || alignment(extra.aux) < kMostAlignment) return false;
  const Key key{.m = e.m,
                .n = e.n,
                .k = e.k,
                .transpose_a = op_a == Transpose::kYes,
                .transpose_b = op_b == Transpose::kYes,
                .accumulate = write == Write::kAccumulate,
                .in = kDataType<In>,
                .out = kDataType<Out>,
                .epilogue = extra.epilogue,
                .alignment_a = alignment(a.data()),
                .alignment_b = alignment(b.data()),
                .alignment_y = alignment(y_MN.data())};
  const auto behind = reinterpret_cast<std::uintptr_t>(memory.data()) % kWorkspaceAlignment;
  std::byte* const workspace = memory.data() + (kWorkspaceAlignment - behind) % kWorkspaceAlignment;
  // Of each thread of the host, since addresses are set in what is kept.
  thread_local const Library library = [] {
    cublasLtHandle_t made = nullptr;
    check(cublasLtCreate(&made), "cublasLtCreate");
    return Library(made);
  }();
  thread_local std::map<Key, std::optional<Product>> products;
  const auto [at, is_new] = products.try_emplace(key);
  if (is_new) at->second = prepare(library.get(), key, extra);
  if (!at->second) return false;
  const Product& product = *at->second;
  set_extra(product.operation, extra);
  const float one = 1.0F, beta = key.accumulate ? 1.0F : 0.0F;
  check(cublasLtMatmul(library.get(), product.operation.get(), &one, b.data(), product.first.get(),
                       a.data(), product.second.get(), &beta, y_MN.data(), product.result.get(),
                       y_MN.data(), product.result.get(), &product.algorithm, workspace,
                       kWorkspaceBytes, exec.space.cuda_stream()),
        "cublasLtMatmul");
  return true;
}

#define POLYPHASE_CUBLAS_LT(In, Out)                                                          \
  template bool multiply<In, Out>(const Exec&, const Tensor2<Out>&, const Tensor2<const In>&, \
                                  Transpose, const Tensor2<const In>&, Transpose, Write,      \
                                  const Extra&);
POLYPHASE_CUBLAS_LT(float, float)
POLYPHASE_CUBLAS_LT(bf16, float)
POLYPHASE_CUBLAS_LT(bf16, bf16)
#undef POLYPHASE_CUBLAS_LT

}  // namespace polyphase::cublas_lt
