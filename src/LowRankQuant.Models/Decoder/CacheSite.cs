using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Models.Decoder;

/// <summary>What an attention remembers of a position.</summary>
public enum CacheKind
{
    /// <summary>Keys.</summary>
    Keys,

    /// <summary>Values.</summary>
    Values,
}

/// <summary>
/// A place where an attention's memory can be quantized: its keys or its values, as they are made. Later positions, lanes and blocks that read them see them quantized.
/// </summary>
/// <param name="kind">Which of the two.</param>
/// <param name="heads">Key and value heads.</param>
/// <param name="headSize">Elements of one.</param>
public sealed class CacheSite(CacheKind kind, int heads, int headSize)
{
    /// <summary>Keys or values.</summary>
    public CacheKind Kind => kind;

    /// <summary>Heads of a row.</summary>
    public int Heads => heads;

    /// <summary>Elements of a head.</summary>
    public int HeadSize => headSize;

    /// <summary>Why a checkpoint cannot say steps of it, half a sentence; null where it can.</summary>
    public string? StorageObstacle { get; init; }

    /// <summary>What rounds them; null for nothing.</summary>
    public IActivationQuantizer? Quantizer { get; set; }

    /// <summary>Whether keys are quantized in front of their rotation; else behind it, which is where engines quantize what they store.</summary>
    public bool BeforeRotation { get; set; }

    /// <summary>Shown what is, or would be, quantized, [rows, heads * headSize], where that happens; null for nobody. The tensor is valid during the call.</summary>
    public Action<Tensor>? Observer { get; set; }

    /// <summary>Quantizes, where this is the place for it.</summary>
    internal Variable Apply(Tape tape, Variable x, bool beforeRotation = false)
    {
        if (beforeRotation != BeforeRotation) return x;
        Observer?.Invoke(x.Value);
        return Quantizer is null ? x : Quantizer.Apply(tape, x);
    }
}
