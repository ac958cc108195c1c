using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>Scales of a weight on a float grid. They may be learned where each belongs to a whole row; others are what is stored from the start.</summary>
public sealed class FloatFit : FittedGrid
{
    private readonly FloatGrid _grid;
    private readonly ScaleType _scaleType;
    private readonly FloatScales _stored;
    private readonly int? _scaleDigits;

    /// <summary>A fitted grid.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Stored type of scales that are 16 or 32-bit floats.</param>
    /// <param name="stored">The scales.</param>
    /// <param name="scaleDigits">Significant bits of a stored scale; null for all that its type has.</param>
    public FloatFit(int outFeatures, int inFeatures, FloatGrid grid, ScaleType scaleType, FloatScales stored, int? scaleDigits)
        : base(outFeatures, inFeatures)
    {
        (_grid, _scaleType, _stored, _scaleDigits) = (grid, scaleType, stored, scaleDigits);
        int groups = grid.GroupsPerRow(inFeatures);
        Steps = new float[outFeatures * groups];
        for (int i = 0; i < Steps.Length; i++) Steps[i] = (float)(stored.Scales[(i / groups / grid.GroupRows * groups) + (i % groups)] / (double)stored.Divisor);
        Zeros = new float[Steps.Length];
    }

    /// <inheritdoc/>
    public override SmallFloat Floats => _grid.Codes;

    /// <inheritdoc/>
    public override bool HasFreeScales => _grid.HasFreeScales;

    /// <summary>The steps: nothing is multiplied by integers.</summary>
    public override float[] Scales => Steps;

    /// <summary>Empty: every group has its own scale.</summary>
    public override float[] LogMultiples => [];

    /// <summary>Zeros: 0 is one of the numbers.</summary>
    public override float[] Zeros { get; }

    /// <inheritdoc/>
    public override float[] Steps { get; }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">The scales are not free.</exception>
    public override FloatFit WithScales(float[] scales) => HasFreeScales
        ? new FloatFit(OutFeatures, InFeatures, _grid, _scaleType, _stored with { Scales = scales }, _scaleDigits)
        : throw new InvalidOperationException($"Scales of {_grid} are not learned.");

    /// <inheritdoc/>
    public override byte[] CodesOf(QuantizedWeight stored) => stored.Codes;

    /// <summary>As the base says it, with the nearest of the codes' numbers in the place of an integer.</summary>
    /// <inheritdoc/>
    public override FloatWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, ReadOnlyMemory<float> offset, WorkerPool workers)
    {
        if (!offset.IsEmpty) throw new ArgumentException("Offsets are in steps, which grids of floats do not have.", nameof(offset));
        float[] scales = HasFreeScales ? [.. _stored.Scales.Select(scale => StorageScale.Round(scale, _scaleType, _scaleDigits))] : _stored.Scales;
        var codes = new byte[weight.Length];
        int groups = _grid.GroupsPerRow(InFeatures), size = InFeatures / groups;
        workers.Run(OutFeatures, row =>
        {
            ReadOnlySpan<float> values = weight.Span, exponents = exponent.Span;
            for (int group = 0; group < groups; group++)
            {
                float step = HasFreeScales ? scales[row] : Steps[(row * groups) + group];
                int start = (row * InFeatures) + (group * size);
                for (int i = start; i < start + size; i++)
                {
                    float divisor = exponents.IsEmpty ? step : step * MathF.Exp(exponents[i]);
                    codes[i] = _grid.Codes.CodeOf(_grid.Codes.Round(values[i] / divisor));
                }
            }
        });
        return new FloatWeight(OutFeatures, InFeatures, _grid, codes, scales, _scaleType, _stored.Divisor);
    }
}
