// SPDX-License-Identifier: Apache-2.0
#include <omp.h>

#include <dnnl.hpp>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "kernels/matmul_edges.hpp"
#include "kernels/matmul_float.hpp"

namespace polyphase {
namespace {

using DnnlMemory = dnnl::memory;
using DataType = DnnlMemory::data_type;

template <class Real>
constexpr DataType kDataType = sizeof(Real) == sizeof(float) ? DataType::f32 : DataType::bf16;

// Everything that the library's choice of code depends on.
struct ProductKey {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false, accumulate = false, bias = false;
  DataType in = DataType::f32, out = DataType::f32;
  int num_threads = 1;
  auto operator<=>(const ProductKey&) const = default;

  std::string text() const {
    const auto name = [](DataType type) { return type == DataType::f32 ? "float" : "bf16"; };
    return fmt::format("{}x{}x{} ({}{}, {} to {}{}{})", m, n, k, transpose_a ? 'T' : 'N',
                       transpose_b ? 'T' : 'N', name(in), name(out), bias ? ", bias" : "",
                       accumulate ? ", accumulating" : "");
  }
};

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

DnnlMemory::desc matrix(std::int64_t num_rows, std::int64_t num_columns, bool transposed,
                        DataType type) {
  const DnnlMemory::dims strides =
      transposed ? DnnlMemory::dims{1, num_rows} : DnnlMemory::dims{num_columns, 1};
  return DnnlMemory::desc({num_rows, num_columns}, type, strides);
}

// A product made ready for one shape; memory objects are bound to addresses call by call.
struct Product {
  dnnl::matmul primitive;
  DnnlMemory a, b, bias, y, scratch;
  std::size_t scratch_bytes = 0;
};

dnnl::matmul::primitive_desc describe(const ProductKey& key) {
  const auto a = matrix(key.m, key.k, key.transpose_a, key.in);
  const auto b = matrix(key.k, key.n, key.transpose_b, key.in);
  const auto y = matrix(key.m, key.n, false, key.out);
  const auto bias = key.bias ? matrix(1, key.n, false, DataType::f32) : DnnlMemory::desc();
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (key.accumulate) {
    dnnl::post_ops post_ops;
    post_ops.append_sum(1.0F);
    attributes.set_post_ops(post_ops);
  }
#if DNNL_VERSION_MAJOR >= 3
  return key.bias ? dnnl::matmul::primitive_desc(engine(), a, b, bias, y, attributes)
                  : dnnl::matmul::primitive_desc(engine(), a, b, y, attributes);
#else
  const auto operation = key.bias ? dnnl::matmul::desc(a, b, bias, y) : dnnl::matmul::desc(a, b, y);
  return dnnl::matmul::primitive_desc(operation, attributes, engine());
#endif
}

// Empty where this processor has no instructions for bf16.
std::optional<Product> prepare(const ProductKey& key) {
  try {
    const auto description = describe(key);
    const auto unbound = [](const DnnlMemory::desc& layout) {
      return DnnlMemory(layout, engine(), DNNL_MEMORY_NONE);
    };
    Product product;
    product.primitive = dnnl::matmul(description);
    product.a = unbound(description.src_desc());
    product.b = unbound(description.weights_desc());
    product.y = unbound(description.dst_desc());
    if (key.bias) product.bias = unbound(matrix(1, key.n, false, DataType::f32));
    product.scratch = unbound(description.scratchpad_desc());
    product.scratch_bytes = description.scratchpad_desc().get_size();
    return product;
  } catch (const dnnl::error& error) {
    const bool has_bf16 = key.in == DataType::bf16 || key.out == DataType::bf16;
    if (error.status == dnnl_unimplemented && has_bf16) return std::nullopt;
    fail<SystemError>("oneDNN cannot prepare the product {}: {} (status {})", key.text(),
                      error.what(), static_cast<int>(error.status));
  }
}

// One cache a thread: a primitive depends on how many threads may run it, and its bound addresses
// are the caller's.
std::optional<Product>& cached(const ProductKey& key) {
  thread_local std::map<ProductKey, std::optional<Product>> products;
  const auto found = products.find(key);
  return found != products.end() ? found->second
                                 : products.emplace(key, prepare(key)).first->second;
}

template <class T>
void set_address(DnnlMemory& memory, const T* address) {
  memory.set_data_handle(const_cast<void*>(static_cast<const void*>(address)));
}

void execute(Product& product, const ProductKey& key) {
  thread_local dnnl::stream stream(engine());
  std::unordered_map<int, DnnlMemory> arguments{
      {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.y}};
  if (key.bias) arguments.emplace(DNNL_ARG_BIAS, product.bias);
  if (product.scratch_bytes > 0) arguments.emplace(DNNL_ARG_SCRATCHPAD, product.scratch);
  try {
    product.primitive.execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    fail<SystemError>("oneDNN failed in the product {}: {} (status {})", key.text(), error.what(),
                      static_cast<int>(error.status));
  }
}

}  // namespace

template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            Tensor2<const In> b, Transpose op_b, Write write, Tensor1<const float> bias_N) {
  const auto [m, n, k] = product_extents(y_MN, a, op_a, b, op_b, bias_N);
  POLYPHASE_PROMISE(exec.arena != nullptr, "a product needs an arena for its workspace");
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!exec.counting()) write_bias(exec, y_MN, write, bias_N);
    return;
  }
  const ProductKey key{m,
                       n,
                       k,
                       op_a == Transpose::kYes,
                       op_b == Transpose::kYes,
                       write == Write::kAccumulate,
                       bias_N.extent(0) != 0,
                       kDataType<In>,
                       kDataType<Out>,
                       omp_in_parallel() != 0 ? 1 : omp_get_max_threads()};
  std::optional<Product>& product = cached(key);
  if (!product) {
    matmul_in_float(exec, y_MN, a, op_a, b, op_b, write, bias_N);
    return;
  }
  const ArenaScope scope(*exec.arena);
  const auto scratch =
      exec.arena->take1<std::byte>(static_cast<std::int64_t>(product->scratch_bytes));
  if (exec.counting()) return;
  set_address(product->a, a.data());
  set_address(product->b, b.data());
  set_address(product->y, y_MN.data());
  if (key.bias) set_address(product->bias, bias_N.data());
  if (product->scratch_bytes > 0) set_address(product->scratch, scratch.data());
  execute(*product, key);
}

#define POLYPHASE_MATMUL(In, Out)                                                        \
  template void matmul<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, Transpose, \
                                Tensor2<const In>, Transpose, Write, Tensor1<const float>);
POLYPHASE_MATMUL(float, float)
POLYPHASE_MATMUL(float, bf16)
POLYPHASE_MATMUL(bf16, float)
POLYPHASE_MATMUL(bf16, bf16)
#undef POLYPHASE_MATMUL

}  // namespace polyphase
