"""What TensorIR cannot say, in LLVM IR: its vectors of bfloat16 are none of LLVM's.

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
