// SPDX-License-Identifier: Apache-2.0
#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "kernels/bf16_support.hpp"
#include "kernels/few_rows.hpp"
#include "kernels/matmul_edges.hpp"
#include "kernels/matmul_plain.hpp"
#include "kernels/rows_product.hpp"
#include "kernels/work.hpp"

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
  std::int64_t layout_m = 0;  // of a packed b; 0: a plain one
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
};

int threads_here() { return omp_in_parallel() != 0 ? 1 : omp_get_max_threads(); }

DnnlMemory::desc packed_layout(const ProductKey& key);

dnnl::matmul::primitive_desc describe(const ProductKey& key, bool any_b = false) {
  const auto a = matrix(key.m, key.k, key.transpose_a, key.in);
  const auto b = any_b ? DnnlMemory::desc({key.k, key.n}, key.in, DnnlMemory::format_tag::any)
                 : key.layout_m > 0 ? packed_layout(key)
                                    : matrix(key.k, key.n, key.transpose_b, key.in);
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

// The layout of b that the library likes best for a plain product of layout_m rows.
DnnlMemory::desc packed_layout(const ProductKey& key) {
  ProductKey plain;
  plain.m = key.layout_m, plain.n = key.n, plain.k = key.k;
  plain.in = plain.out = key.in;
  return describe(plain, true).weights_desc();
}

DnnlMemory unbound(const DnnlMemory::desc& layout) {
  return DnnlMemory(layout, engine(), DNNL_MEMORY_NONE);
}

[[noreturn]] void fail_in(const char* what, const ProductKey& key, const dnnl::error& error) {
  fail<SystemError>("oneDNN cannot {} the product {}: {} (status {})", what, key.text(),
                    error.what(), static_cast<int>(error.status));
}

// Empty where this processor has no instructions for bf16.
std::optional<Product> prepare(const ProductKey& key) {
  try {
    const auto description = describe(key);
    Product product;
    product.primitive = dnnl::matmul(description);
    product.a = unbound(description.src_desc());
    product.b = unbound(description.weights_desc());
    product.y = unbound(description.dst_desc());
    if (key.bias) product.bias = unbound(matrix(1, key.n, false, DataType::f32));
    product.scratch = unbound(description.scratchpad_desc());
    return product;
  } catch (const dnnl::error& error) {
    const bool has_bf16 = key.in == DataType::bf16 || key.out == DataType::bf16;
    if (error.status == dnnl_unimplemented && has_bf16) return std::nullopt;
    fail_in("prepare", key, error);
  }
}

// A weight's way into its packed layout, rounded on the way.
struct Packing {
  dnnl::reorder primitive;
  DnnlMemory from, to, scratch;
};

// Empty where this processor has no instructions for bf16.
std::optional<Packing> prepare_packing(const ProductKey& key) {
  try {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto from = matrix(key.k, key.n, key.transpose_b, DataType::f32);
    const auto to = packed_layout(key);
    const dnnl::reorder::primitive_desc description(engine(), from, engine(), to, attributes);
    return Packing{dnnl::reorder(description), unbound(from), unbound(to),
                   unbound(description.scratchpad_desc())};
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented && key.in == DataType::bf16) return std::nullopt;
    fail_in("prepare a packed weight for", key, error);
  }
}

// One cache a thread: a primitive depends on how many threads may run it, and its bound addresses
// are the caller's.
template <class Prepared>
Prepared& cached(const ProductKey& key, Prepared (*make)(const ProductKey&)) {
  thread_local std::map<ProductKey, Prepared> all;
  const auto found = all.find(key);
  return found != all.end() ? found->second : all.emplace(key, make(key)).first->second;
}

void set_address(DnnlMemory& memory, const void* address) {
  memory.set_data_handle(const_cast<void*>(address));
}

using Arguments = std::unordered_map<int, DnnlMemory>;

// Runs a primitive whose arguments are bound, with scratch memory from the arena.
void execute(const Exec& exec, const dnnl::primitive& primitive, Arguments arguments,
             DnnlMemory& scratch, const ProductKey& key) {
  const auto num_bytes = static_cast<std::int64_t>(scratch.get_desc().get_size());
  const ArenaScope scope(*exec.arena);
  const auto memory = exec.arena->take1<std::byte>(num_bytes);
  if (exec.counting()) return;
  if (num_bytes > 0) {
    set_address(scratch, memory.data());
    arguments.emplace(DNNL_ARG_SCRATCHPAD, scratch);
  }
  thread_local dnnl::stream stream(engine());
  try {
    primitive.execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    fail_in("compute", key, error);
  }
}

void execute(const Exec& exec, Product& product, const ProductKey& key, const void* a,
             const void* b, const float* bias, const void* y) {
  set_address(product.a, a);
  set_address(product.b, b);
  set_address(product.y, y);
  Arguments arguments{
      {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.y}};
  if (key.bias) {
    set_address(product.bias, bias);
    arguments.emplace(DNNL_ARG_BIAS, product.bias);
  }
  execute(exec, product.primitive, std::move(arguments), product.scratch, key);
}

void execute(const Exec& exec, Packing& packing, const ProductKey& key, const void* from,
             const void* to) {
  note_start(exec);
  note_moved(exec, Tensor1<const float>(nullptr, key.k * key.n));
  set_address(packing.from, from);
  set_address(packing.to, to);
  execute(exec, packing.primitive, {{DNNL_ARG_FROM, packing.from}, {DNNL_ARG_TO, packing.to}},
          packing.scratch, key);
}

template <class In, class Out>
ProductKey key_of(const ProductExtents& extents, Transpose op_a, Write write,
                  const Tensor1<const float>& bias_N) {
  ProductKey key;
  key.m = extents.m, key.n = extents.n, key.k = extents.k;
  key.transpose_a = op_a == Transpose::kYes;
  key.accumulate = write == Write::kAccumulate;
  key.bias = bias_N.extent(0) != 0;
  key.in = kDataType<In>, key.out = kDataType<Out>;
  key.num_threads = threads_here();
  return key;
}

bool has(dnnl::cpu_isa instructions) {
  // The library's names of instruction sets are sets of bits.
  const auto wanted = static_cast<unsigned>(instructions);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

// Whether a product over the rows of both operands, a weight's gradient, is faster in tiles of our
// own. Without AVX-512 the library's copies of an operand whose rows lie half a page or a page
// apart fall on few lines of the cache, and take longer than the product where that has not many
// columns on the other side. GFLOP/s of two cores, tiles : library, of 1,024 × 256 over 4,096 rows
// 166 : 88, of 8,192 × 256 over 640 rows 171 : 80; of 3,072 × 768 over 1,024 rows 162 : 159.
bool is_faster_in_tiles(const ProductKey& key) {
#if defined(__AVX2__) && defined(__FMA__)
  constexpr std::int64_t kHalfPage = 2048 / sizeof(float), kMany = 512;
  static const bool has_long_vectors = has(dnnl::cpu_isa::avx512_core);
  const auto is_slow = [](std::int64_t walked_down, std::int64_t other) {
    return walked_down % kHalfPage == 0 && other <= kMany;
  };
  return !has_long_vectors && key.transpose_a && !key.transpose_b && !key.bias &&
         (is_slow(key.m, key.n) || is_slow(key.n, key.m)) && tile::takes_columns(key.n);
#else
  (void)key;
  return false;
#endif
}

}  // namespace

bool has_bf16_products() { return has(dnnl::cpu_isa::avx512_core_bf16); }

template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            Tensor2<const In> b, Transpose op_b, Write write, Tensor1<const float> bias_N,
            Tensor1<const bf16>) {
  const KernelRegion region("matmul");
  const auto [m, n, k] = product_extents(y_MN, a, op_a, b, op_b, bias_N);
  POLYPHASE_PROMISE(exec.arena != nullptr, "a product needs an arena for its workspace");
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!exec.counting()) write_bias(exec, y_MN, write, bias_N);
    return;
  }
  ProductKey key = key_of<In, Out>({m, n, k}, op_a, write, bias_N);
  key.transpose_b = op_b == Transpose::kYes;
  note_product(exec, {.m = m, .n = n, .k = k, .bf16 = key.in == DataType::bf16});
  if (m <= tile::kMostFewRows && !key.transpose_a && key.transpose_b) {
    return tile::multiply_few_rows(exec, y_MN, a, b, write, bias_N, key.num_threads);
  }
  if constexpr (std::is_same_v<In, float> && std::is_same_v<Out, float>) {
    if (is_faster_in_tiles(key)) {
      return tile::multiply_rows(exec, y_MN, a, b, write, key.num_threads);
    }
  }
  std::optional<Product>& product = cached(key, prepare);
  if (!product) {
    const NotedAlready noted;
    matmul_in_float(exec, y_MN, a, op_a, b, op_b, write, bias_N);
    return;
  }
  execute(exec, *product, key, a.data(), b.data(), bias_N.data(), y_MN.data());
}

template <class Real>
PackedWeight pack_weight(const Exec& exec, Tensor2<const float> w, Transpose op, std::int64_t m) {
  POLYPHASE_PROMISE(exec.arena != nullptr, "a packed weight needs an arena for its memory");
  const bool transposed = op == Transpose::kYes;
  const auto k = static_cast<std::int64_t>(w.extent(transposed ? 1 : 0));
  const auto n = static_cast<std::int64_t>(w.extent(transposed ? 0 : 1));
  if (m == 0 || n == 0 || k == 0) return plain_weight<Real>(exec, w, op);
  ProductKey key = key_of<Real, Real>({m, n, k}, Transpose::kNo, Write::kOverwrite, {});
  key.transpose_b = transposed, key.layout_m = m;
  std::optional<Packing>& packing = cached(key, prepare_packing);
  if (!packing) return plain_weight<Real>(exec, w, op);
  const auto memory =
      exec.arena->take1<std::byte>(static_cast<std::int64_t>(packing->to.get_desc().get_size()));
  execute(exec, *packing, key, w.data(), memory.data());
  return {.k = k, .n = n, .layout_m = m, .stored = op, .memory = memory};
}

template <class In, class Out>
void matmul(const Exec& exec, Tensor2<Out> y_MN, Tensor2<const In> a, Transpose op_a,
            const PackedWeight& b, Write write, Tensor1<const float> bias_N) {
  const KernelRegion region("matmul");
  if (b.layout_m == 0 || y_MN.size() == 0) {
    matmul<In, Out>(exec, y_MN, a, op_a, plain_tensor<In>(b), b.stored, write, bias_N);
    return;
  }
  // Of the plain tensor only the extents are read.
  const ProductExtents extents =
      product_extents(y_MN, a, op_a, plain_tensor<In>(b), b.stored, bias_N);
  ProductKey key = key_of<In, Out>(extents, op_a, write, bias_N);
  key.layout_m = b.layout_m;
  note_product(exec, {.m = key.m, .n = key.n, .k = key.k, .bf16 = key.in == DataType::bf16});
  std::optional<Product>& product = cached(key, prepare);
  if (!product) {
    const NotedAlready noted;
    // There is no such product for float operands and a bf16 result.
    const ArenaScope scope(*exec.arena);
    const auto y_float = exec.arena->take2<float>(y_MN.extent(0), y_MN.extent(1));
    const bool adds = write == Write::kAccumulate && !exec.counting();
    if (adds) convert_product_operand(exec, y_float, Tensor2<const Out>(y_MN));
    matmul<In, float>(exec, y_float, a, op_a, b, write, bias_N);
    if (!exec.counting()) convert_product_operand(exec, y_MN, Tensor2<const float>(y_float));
    return;
  }
  execute(exec, *product, key, a.data(), b.memory.data(), bias_N.data(), y_MN.data());
}

#define POLYPHASE_MATMUL(In, Out)                                                          \
  template void matmul<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, Transpose,   \
                                Tensor2<const In>, Transpose, Write, Tensor1<const float>, \
                                Tensor1<const bf16>);                                      \
  template void matmul<In, Out>(const Exec&, Tensor2<Out>, Tensor2<const In>, Transpose,   \
                                const PackedWeight&, Write, Tensor1<const float>);
POLYPHASE_MATMUL(float, float)
POLYPHASE_MATMUL(float, bf16)
POLYPHASE_MATMUL(bf16, float)
POLYPHASE_MATMUL(bf16, bf16)
#undef POLYPHASE_MATMUL
template PackedWeight pack_weight<float>(const Exec&, Tensor2<const float>, Transpose,
                                         std::int64_t);
template PackedWeight pack_weight<bf16>(const Exec&, Tensor2<const float>, Transpose, std::int64_t);

}  // namespace polyphase
