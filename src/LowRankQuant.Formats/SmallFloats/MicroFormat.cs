using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.SmallFloats;

/// <summary>
/// Floats of 4 or 8 bits in small groups of inputs that share a scale: the microscaling formats of the Open Compute Project, and NVFP4.
/// </summary>
/// <remarks>
/// | format | code | group | scale of a group | scale of the matrix |
/// | --- | --- | --- | --- | --- |
/// | mxfp4 | E2M1 | 32 | 2^(byte - 127); 255 is no number | |
/// | nvfp4 | E2M1 | 16 | E4M3 | one 32-bit float, which divides |
/// | mxfp8 | E4M3 | 32 | 2^(byte - 127); 255 is no number | |
/// E2M1: bit 3 is the sign, codes 0 to 7 are 0, .5, 1, 1.5, 2, 3, 4, 6. Source: OCP Microscaling Formats 1.0; vllm-project/compressed-tensors, compressors/.
/// </remarks>
public sealed class MicroFormat
{
    private MicroFormat(string name, int codeBits, int groupSize, bool scalesAreFloats) =>
        (Name, CodeBits, GroupSize, ScalesAreFloats) = (name, codeBits, groupSize, scalesAreFloats);

    /// <summary>4-bit floats in groups of 32 with powers of two.</summary>
    public static MicroFormat Mxfp4 { get; } = new("mxfp4", 4, 32, scalesAreFloats: false);

    /// <summary>4-bit floats in groups of 16 with 8-bit floats.</summary>
    public static MicroFormat Nvfp4 { get; } = new("nvfp4", 4, 16, scalesAreFloats: true);

    /// <summary>8-bit floats in groups of 32 with powers of two.</summary>
    public static MicroFormat Mxfp8 { get; } = new("mxfp8", 8, 32, scalesAreFloats: false);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<MicroFormat> All { get; } = [Mxfp4, Nvfp4, Mxfp8];

    /// <summary>Name in configurations.</summary>
    public string Name { get; }

    /// <summary>Bits of a code.</summary>
    public int CodeBits { get; }

    /// <summary>Inputs that share a scale.</summary>
    public int GroupSize { get; }

    /// <summary>Whether scales are E4M3 floats; else they are powers of two.</summary>
    public bool ScalesAreFloats { get; }

    /// <summary>The value of every code.</summary>
    public ReadOnlySpan<float> Levels => (CodeBits == 4 ? SmallFloat.E2M1 : SmallFloat.E4M3).Values;

    /// <summary>Bytes of a row of codes; two 4-bit codes a byte, the first in its lower half.</summary>
    public int RowBytes(int columns) => columns * CodeBits / 8;

    /// <summary>The value of a stored scale; NaN for a byte that stands for none.</summary>
    public float ScaleOf(byte stored) => ScalesAreFloats ? SmallFloat.E4M3.Values[stored] : FloatScale.PowerOfTwo(stored);

    /// <summary>The format of a name; null for another name.</summary>
    public static MicroFormat? Find(string name) => All.FirstOrDefault(format => format.Name == name);

    /// <inheritdoc/>
    public override string ToString() => $"{Name}: {CodeBits}-bit floats in groups of {GroupSize}";
}
