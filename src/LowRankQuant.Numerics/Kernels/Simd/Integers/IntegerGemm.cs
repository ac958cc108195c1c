using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>
/// Products of integer codes with the instructions that the processor has. One that multiplies and adds bytes exactly serves all codes; else bytes of so few bits that sums of
/// their products fit into 16 bits are multiplied as such, and others as pairs of 16 bits. The result is the same bits.
/// </summary>
internal sealed unsafe class IntegerGemm : IIntegerGemm
{
    // Below this many multiply-adds, waking the other threads costs more than they save.
    private const long SerialBelow = 1024 * 1024;
    private readonly WorkerPool _pool;
    private readonly IntegerDriver _pairs;
    private readonly IntegerDriver? _bytes;
    private readonly IntegerDriver? _exactBytes;

    /// <summary>Creates the kernels.</summary>
    /// <param name="pool">Their threads.</param>
    /// <param name="maximumBits">Registers wider than this are not used; below 256 none are.</param>
    /// <param name="exactBytes">Whether to use an instruction that multiplies and adds bytes exactly, where the processor has it.</param>
    public IntegerGemm(WorkerPool pool, int maximumBits = 512, bool exactBytes = true)
    {
        _pool = pool;
        bool wide = maximumBits >= 512 && Vector512.IsHardwareAccelerated && Avx512BW.IsSupported, narrow = maximumBits >= 256 && Avx2.IsSupported && Fma.IsSupported;
        _pairs = wide ? new IntegerDriver<IntegerTile512<PairDot512>>() : narrow ? new IntegerDriver<IntegerTile256<PairDot256>>() : new IntegerDriver<IntegerTileScalar>();
        _bytes = wide ? new IntegerDriver<IntegerTile512<ByteDot512>>() : narrow ? new IntegerDriver<IntegerTile256<ByteDot256>>() : null;
        _exactBytes = narrow && exactBytes && AvxVnni.IsSupported ? new IntegerDriver<IntegerTile256<VnniDot>>() : null;
        Name = _exactBytes is not null ? "AVX-VNNI" : wide ? "AVX-512" : narrow ? "AVX2" : "scalar";
    }

    /// <summary>The instructions in use.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public void Multiply(CodedActivations x, UniformWeight weight, float* y)
    {
        if (weight.InFeatures == 0)
        {
            new Span<float>(y, x.Rows * weight.OutFeatures).Clear();
            return;
        }
        int flush = ShortSums(x.Grid.Levels, weight.Grid.SymmetricZero);
        IntegerDriver driver = _exactBytes ?? (flush >= 2 && _bytes is not null ? _bytes : _pairs);
        driver.Multiply(x, weight, y, flush, (long)x.Rows * weight.OutFeatures * weight.InFeatures < SerialBelow ? null : _pool);
    }

    /// <summary>How many pairs of products of unsigned codes up to <paramref name="most"/> and signed ones down to -<paramref name="half"/> may be added in 16 bits.</summary>
    public static int ShortSums(int most, int half) => short.MaxValue / (2 * most * half);
}
