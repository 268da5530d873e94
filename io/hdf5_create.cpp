// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_create.hpp"

#include <optional>
#include <utility>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/hdf5.hpp"

namespace polyphase::hdf5 {
namespace {

constexpr std::size_t kImageStepBytes = 65536;
// For alignment to pages and for HDF5's own blocks; what is left is cut off at the close.
constexpr std::int64_t kSlackPerDatasetBytes = 4096 + 512;
constexpr std::int64_t kSlackBytes = std::int64_t{1} << 20;

hid_t stored_type(ElementType type) {
  switch (type) {
    case ElementType::kUint16:
      return H5T_STD_U16LE;
    case ElementType::kUint32:
      return H5T_STD_U32LE;
    case ElementType::kInt32:
      return H5T_STD_I32LE;
    case ElementType::kInt64:
      return H5T_STD_I64LE;
    case ElementType::kFloat32:
      return H5T_IEEE_F32LE;
  }
  return H5I_INVALID_HID;
}

std::vector<hsize_t> to_hsize(const std::vector<std::int64_t>& shape) {
  return {shape.begin(), shape.end()};
}

Space simple_space(const std::vector<std::int64_t>& shape, const std::filesystem::path& path) {
  const std::vector<hsize_t> extents = to_hsize(shape);
  return {H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), path,
          "make a shape"};
}

File create_in_memory(const std::filesystem::path& path) {
  const Properties access = file_access(path);
  check(H5Pset_fapl_core(access, kImageStepBytes, false), path, "choose a file in memory");
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), path, "create"};
}

Properties with_groups(const std::filesystem::path& path) {
  Properties links(H5Pcreate(H5P_LINK_CREATE), path, "make link properties");
  check(H5Pset_create_intermediate_group(links, 1), path, "ask for groups");
  return links;
}

void add_dataset(hid_t file, const NewDataset& dataset, const std::filesystem::path& path) {
  POLYPHASE_PROMISE(is_allowed_name(dataset.name) && checked_product(dataset.shape) > 0,
                    "{}: dataset \"{}\" has a name or shape that is not allowed", path.string(),
                    dataset.name);
  const Space space = simple_space(dataset.shape, path);
  const Properties links = with_groups(path);
  const Properties creation(H5Pcreate(H5P_DATASET_CREATE), path, "make creation properties");
  check(H5Pset_layout(creation, H5D_CONTIGUOUS), path, "choose the layout");
  check(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_LATE), path, "choose when to allocate");
  check(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), path, "choose not to fill");
  check(H5Pset_obj_track_times(creation, false), path, "leave times out");
  Dataset made(H5Dcreate2(file, dataset.name.c_str(), stored_type(dataset.type), space, links,
                          creation, H5P_DEFAULT),
               path, "create a dataset");
  made.close(path);
}

void add_attributes(hid_t file, const NewFile& layout, const std::filesystem::path& path) {
  const Space scalar(H5Screate(H5S_SCALAR), path, "make a shape");
  for (const auto& [name, text] : layout.texts) {
    const Type type(H5Tcopy(H5T_C_S1), path, "make a type");
    check(H5Tset_size(type, text.size() + 1), path, "set a text's length");
    check(H5Tset_cset(type, H5T_CSET_UTF8), path, "set a text's encoding");
    Attribute made(H5Acreate2(file, name.c_str(), type, scalar, H5P_DEFAULT, H5P_DEFAULT), path,
                   "create an attribute");
    check(H5Awrite(made, type, text.c_str()), path, "write an attribute");
    made.close(path);
  }
  for (const auto& [name, number] : layout.numbers) {
    Attribute made(H5Acreate2(file, name.c_str(), H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT),
                   path, "create an attribute");
    check(H5Awrite(made, H5T_NATIVE_INT64, &number), path, "write an attribute");
    made.close(path);
  }
}

// Closes a file in memory and returns the bytes that it would have on disk.
std::string image_of(File file, const std::filesystem::path& path) {
  check(H5Fflush(file, H5F_SCOPE_LOCAL), path, "flush a file in memory");
  const ssize_t size = check(H5Fget_file_image(file, nullptr, 0), path, "measure a file in memory");
  std::string image(static_cast<std::size_t>(size), '\0');
  check(H5Fget_file_image(file, image.data(), image.size()), path, "copy a file from memory");
  file.close(path);
  return image;
}

std::int64_t room_for(const NewFile& layout, std::size_t image_bytes) {
  std::int64_t room = static_cast<std::int64_t>(image_bytes) + kSlackBytes;
  for (const NewDataset& dataset : layout.datasets) {
    room += checked_product(dataset.shape) * size_bytes(dataset.type) + kSlackPerDatasetBytes;
  }
  return room;
}

// Looks at the file once more, since a close of HDF5's can report success for metadata that did not
// reach the disk.
void expect_all_stored(const std::filesystem::path& path, std::size_t num_datasets) {
  std::string fault;
  try {
    if (inspect(path).datasets.size() == num_datasets) return;
    fault = "datasets are missing";
  } catch (const DataError& error) {
    fault = error.what();
  }
  fail<SystemError>(
      "{}: the disk did not keep what was written ({}; {} bytes free); check the disk",
      path.string(), fault, free_bytes(path));
}

}  // namespace

struct PreparedFile::State {
  std::filesystem::path path;
  std::map<std::string, NewDataset> datasets;
  std::optional<CheckedFile> plain;
  std::optional<File> file;
  bool poisoned = false;
  bool finished = false;

  explicit State(std::filesystem::path where) : path(std::move(where)) {}
  ~State() {
    if (file) {
      const Session session;
      file.reset();
    }
    std::error_code ignored;
    if (!finished && plain) std::filesystem::remove(path, ignored);
  }
};

PreparedFile::PreparedFile(const std::filesystem::path& path, const NewFile& layout)
    : state_(std::make_unique<State>(path)) {
  for (const NewDataset& dataset : layout.datasets) {
    POLYPHASE_PROMISE(state_->datasets.emplace(dataset.name, dataset).second,
                      "{}: dataset \"{}\" is given twice", path.string(), dataset.name);
  }
  const Session session;
  File in_memory = create_in_memory(path);
  for (const NewDataset& dataset : layout.datasets) add_dataset(in_memory, dataset, path);
  add_attributes(in_memory, layout, path);
  const std::string image = image_of(std::move(in_memory), path);
  const std::int64_t room = room_for(layout, image.size());
  require_free_space(path, room);
  state_->plain.emplace(CheckedFile::create(path));
  state_->plain->write(image.data(), static_cast<std::int64_t>(image.size()));
  state_->plain->reserve(room);
  const Properties access = file_access(path);
  state_->file.emplace(H5Fopen(path.c_str(), H5F_ACC_RDWR, access), path, "open a new file");
}

PreparedFile::~PreparedFile() = default;

void PreparedFile::write(const std::string& name, std::int64_t first, std::int64_t count,
                         const void* data) {
  POLYPHASE_PROMISE(!state_->poisoned && !state_->finished,
                    "{}: written after a failure or the end", state_->path.string());
  const NewDataset& dataset = state_->datasets.at(name);
  const bool whole = first == 0 && count == checked_product(dataset.shape);
  POLYPHASE_PROMISE(whole || dataset.shape.size() == 1, "{}: a range of a dataset of rank above 1",
                    name);
  const Session session;
  state_->poisoned = true;
  Dataset target(H5Dopen2(*state_->file, name.c_str(), H5P_DEFAULT), state_->path,
                 "open a dataset");
  const Space memory = simple_space({count}, state_->path);
  const Space on_disk(H5Dget_space(target), state_->path, "read a shape");
  if (!whole) {
    const hsize_t start = static_cast<hsize_t>(first);
    const hsize_t extent = static_cast<hsize_t>(count);
    check(H5Sselect_hyperslab(on_disk, H5S_SELECT_SET, &start, nullptr, &extent, nullptr),
          state_->path, "select a range");
  }
  if (H5Dwrite(target, stored_type(dataset.type), memory, on_disk, H5P_DEFAULT, data) < 0) {
    const std::int64_t num_bytes = count * size_bytes(dataset.type);
    fail_call(state_->path, fmt::format("write /{} ({} bytes needed)", name, num_bytes).c_str());
  }
  target.close(state_->path);  // only now does HDF5 write what is small
  state_->poisoned = false;
}

std::int64_t PreparedFile::finish() {
  POLYPHASE_PROMISE(!state_->poisoned && !state_->finished, "{}: finished after a failure or twice",
                    state_->path.string());
  const Session session;
  state_->poisoned = true;
  File file = std::move(*state_->file);
  state_->file.reset();
  file.close(state_->path);
  state_->plain->sync();
  const std::int64_t num_bytes = state_->plain->size();
  state_->plain->close();
  expect_all_stored(state_->path, state_->datasets.size());
  state_->finished = true;
  return num_bytes;
}

std::string virtual_file(const std::filesystem::path& path,
                         const std::map<std::string, VirtualDataset>& datasets,
                         const NewFile& attributes) {
  const Session session;
  File in_memory = create_in_memory(path);
  const Properties links = with_groups(path);
  for (const auto& [name, dataset] : datasets) {
    const Properties creation(H5Pcreate(H5P_DATASET_CREATE), path, "make creation properties");
    check(H5Pset_obj_track_times(creation, false), path, "leave times out");
    const Space whole = simple_space(dataset.shape, path);
    for (const VirtualSource& source : dataset.sources) {
      const Space part = simple_space(source.shape, path);
      const Space box(H5Scopy(whole), path, "copy a shape");
      const std::vector<hsize_t> begin = to_hsize(source.begin);
      const std::vector<hsize_t> shape = to_hsize(source.shape);
      check(H5Sselect_hyperslab(box, H5S_SELECT_SET, begin.data(), nullptr, shape.data(), nullptr),
            path, "select a box");
      check(H5Pset_virtual(creation, box, source.file.c_str(), source.dataset.c_str(), part), path,
            "add a virtual source");
    }
    Dataset made(
        H5Dcreate2(in_memory, name.c_str(), H5T_IEEE_F32LE, whole, links, creation, H5P_DEFAULT),
        path, "create a virtual dataset");
    made.close(path);
  }
  add_attributes(in_memory, attributes, path);
  return image_of(std::move(in_memory), path);
}

}  // namespace polyphase::hdf5
