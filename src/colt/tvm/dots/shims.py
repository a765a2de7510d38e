"""What TensorIR cannot say, in LLVM IR: its vectors of bfloat16 are none of LLVM's, and it has no system calls.

A schedule imports the text by annotating a loop with :data:`IMPORT`; the function is inlined where it is called.
"""

IMPORT = "pragma_import_llvm"
"""TVM's name of the annotation."""
BF16_DOT = "colt_dot_bf16"
KEEP = "colt_keep"
"""Does nothing. TVM makes every buffer of bfloat16 between blocks one of float32, unless its address is taken."""
KEEP_IR = f"""
define void @{KEEP}(ptr %buffer) alwaysinline nounwind {{
  ret void
}}
"""
BF16_IR = f"""
define <16 x float> @{BF16_DOT}(<16 x float> %sum, <16 x i32> %left, <16 x i32> %right) #0 {{
  %a = bitcast <16 x i32> %left to <32 x bfloat>
  %b = bitcast <16 x i32> %right to <32 x bfloat>
  %r = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float> %sum, <32 x bfloat> %a, <32 x bfloat> %b)
  ret <16 x float> %r
}}
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
attributes #0 = {{ alwaysinline nounwind "target-features"="+avx512f,+avx512bf16" }}
"""
PREFETCH = "colt_prefetch_part"
"""Asks for the line of a byte so many bytes behind a place."""
PREFETCH_IR = f"""
define i32 @{PREFETCH}(ptr %place, i32 %offset) #2 {{
  %byte = getelementptr i8, ptr %place, i32 %offset
  call void asm sideeffect "prefetcht0 ($0)", "r"(ptr %byte) #3
  ret i32 0
}}
attributes #2 = {{ alwaysinline nounwind willreturn memory(inaccessiblemem: readwrite) }}
attributes #3 = {{ nounwind willreturn memory(inaccessiblemem: readwrite) }}
"""
TILE_ASK, TILE_BEGIN, TILE_END = "colt_tile_ask", "colt_tile_begin", "colt_tile_end"
REFUSED = "the kernel needs AMX tiles, and this processor or its operating system refuses them to the process"
TILE_SHAPES = bytes([1, *[0] * 15]) + b"\x40\x00" * 8 + bytes(16) + bytes([16] * 8) + bytes(8)
"""What ``ldtilecfg`` loads: palette 1, and eight tiles of 16 rows of 64 bytes."""
_SYSCALL = 'asm sideeffect "syscall", "={ax},{ax},{di},{si},{dx},~{rcx},~{r11},~{memory}"'
"""A system call of three arguments."""
TILE_IR = f"""
@colt_tile_shapes = internal constant [64 x i8] c"{"".join(f"{chr(92)}{byte:02x}" for byte in TILE_SHAPES)}", align 64
@colt_tile_refused = internal constant [{len(REFUSED) + 1} x i8] c"{REFUSED}\\0A"
@colt_tile_granted = internal global i32 0
define i32 @{TILE_ASK}() #1 {{
  %before = load atomic i32, ptr @colt_tile_granted monotonic, align 4
  %known = icmp ne i32 %before, 0
  br i1 %known, label %granted, label %ask
ask:
  %answer = call i64 {_SYSCALL}(i64 158, i64 4131, i64 18, i64 0)
  %yes = icmp eq i64 %answer, 0
  br i1 %yes, label %remember, label %refused
remember:
  store atomic i32 1, ptr @colt_tile_granted monotonic, align 4
  br label %granted
granted:
  ret i32 0
refused:
  ret i32 1
}}
define i32 @{TILE_BEGIN}() #1 {{
  %no = call i32 @{TILE_ASK}()
  %granted = icmp eq i32 %no, 0
  br i1 %granted, label %shape, label %refused
shape:
  call void @llvm.x86.ldtilecfg(ptr @colt_tile_shapes)
  ret i32 0
refused:
  %text = ptrtoint ptr @colt_tile_refused to i64
  %written = call i64 {_SYSCALL}(i64 1, i64 2, i64 %text, i64 {len(REFUSED) + 1})
  ret i32 1
}}
define void @{TILE_END}() #1 {{
  call void @llvm.x86.tilerelease()
  ret void
}}
declare void @llvm.x86.ldtilecfg(ptr)
declare void @llvm.x86.tilerelease()
attributes #1 = {{ alwaysinline nounwind "target-features"="+amx-tile" }}
"""
"""Permission is ``arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)``: once a process, for all of its threads.
Without it nothing is computed. That is written to the standard error output too, since TVM loses what a parallel loop
fails of where there is one thread."""
