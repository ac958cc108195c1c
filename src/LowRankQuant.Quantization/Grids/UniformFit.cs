using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>Steps and zero points of a weight on a uniform grid.</summary>
public sealed class UniformFit : FittedGrid
{
    private readonly UniformGrid _grid;
    private readonly ScaleType _scaleType;
    private readonly GridParameters _parameters;
    private readonly int? _scaleDigits;

    /// <summary>A fitted grid.</summary>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The integer grid.</param>
    /// <param name="scaleType">The type in which scales are stored.</param>
    /// <param name="parameters">Steps and zero points.</param>
    /// <param name="scaleDigits">Significant bits of a stored scale; null for all that its type has.</param>
    public UniformFit(int outFeatures, int inFeatures, UniformGrid grid, ScaleType scaleType, GridParameters parameters, int? scaleDigits = null)
        : base(outFeatures, inFeatures)
    {
        _grid = grid;
        _scaleType = scaleType;
        _parameters = parameters;
        _scaleDigits = scaleDigits;
        Zeros = [.. parameters.Zeros.Select(zero => (float)zero)];
    }

    /// <inheritdoc/>
    public override float[] Scales => _parameters.Steps;

    /// <summary>Empty: every group has its own scale.</summary>
    public override float[] LogMultiples => [];

    /// <inheritdoc/>
    public override float[] Zeros { get; }

    /// <inheritdoc/>
    public override float[] Steps => _parameters.Steps;

    /// <inheritdoc/>
    public override byte[] CodesOf(QuantizedWeight stored) => stored.Codes;

    /// <inheritdoc/>
    public override UniformFit WithScales(float[] scales) => new(OutFeatures, InFeatures, _grid, _scaleType, _parameters with { Steps = scales }, _scaleDigits);

    /// <inheritdoc/>
    public override UniformFit WithZeros(float[] zeros) => _grid.Symmetric
        ? throw new InvalidOperationException("A symmetric grid has no zero points.")
        : new(OutFeatures, InFeatures, _grid, _scaleType, _parameters with { Zeros = [.. zeros.Select(zero => (byte)zero)] }, _scaleDigits);

    /// <inheritdoc/>
    public override UniformWeight Round(ReadOnlyMemory<float> weight, ReadOnlyMemory<float> exponent, ReadOnlyMemory<float> offset, WorkerPool workers)
    {
        var scales = new float[_parameters.Steps.Length];
        for (int i = 0; i < scales.Length; i++) scales[i] = StorageScale.Round(_parameters.Steps[i], _scaleType, _scaleDigits);
        var codes = new byte[weight.Length];
        int groups = _grid.GroupsPerRow(InFeatures), size = InFeatures / groups;
        workers.Run(OutFeatures, row =>
        {
            for (int group = 0; group < groups; group++)
            {
                int index = _grid.Granularity == Granularity.Tensor ? 0 : (row * groups) + group;
                int start = (row * InFeatures) + (group * size);
                GridRounding.Round(
                    weight.Span.Slice(start, size), GridRounding.Part(exponent, start, size), GridRounding.Part(offset, start, size), scales[index], Zeros[index],
                    _grid.MaxCode, codes.AsSpan(start, size));
            }
        });
        return new UniformWeight(OutFeatures, InFeatures, _grid, codes, scales, _grid.Symmetric ? null : _parameters.Zeros, _scaleType);
    }
}
