using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LowRankQuant.LlamaCpp;

/// <summary>
/// Stands for llama_model_params and llama_context_params, which change with every release: large structs go through memory in this ABI, and the callee
/// touches only its own size. System V x86-64 only.
/// </summary>
[InlineArray(512)]
internal struct Parameters
{
    private byte _first;

    public void Set<T>(int offset, T value)
        where T : unmanaged => MemoryMarshal.Write(((Span<byte>)this)[offset..], value);
}

/// <summary>llama_batch: tokens with their positions and sequences, and which of them want logits.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Batch
{
    public int Count;
    public int* Token;
    public float* Embedding;
    public int* Position;
    public int* SequenceCount;
    public int** Sequence;
    public sbyte* Logits;
}
