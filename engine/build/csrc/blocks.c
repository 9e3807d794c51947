// The heap: libc-gen's TLSF allocator on blocks of Go memory.
//
// Only Go may grow the linear memory, so where the allocator would grow it, it
// asks Go for a block instead. Blocks go back when the connection is closed.
#include "heddle.h"

// Go aligns large objects to 8 KiB, so with pages of that size no memory is
// lost to alignment. The recipe takes the allocator's own PAGESIZE out.
#undef PAGESIZE
#define PAGESIZE 8192u
// Small requests are served from blocks of this size.
#define HEDDLE_BLOCK (1024u * 1024u)

static size_t heddle_grow(size_t* npages) {
  size_t bytes = *npages * PAGESIZE;
  if (bytes < HEDDLE_BLOCK) bytes = HEDDLE_BLOCK;
  void* block = go_block(&bytes);
  if (block == NULL) return SIZE_MAX;
  *npages = bytes / PAGESIZE;
  return (size_t)block / PAGESIZE;
}

#define __builtin_wasm_memory_grow(memory, npages) heddle_grow(&(npages))
#define init_allocator heddle_unused_init_allocator
#include "malloc_tlsf.c"
#undef init_allocator
#undef __builtin_wasm_memory_grow
