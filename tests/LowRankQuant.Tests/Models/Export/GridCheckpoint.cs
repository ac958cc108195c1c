using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.Evaluation;

namespace LowRankQuant.Tests.Models.Export;

/// <summary>A checkpoint whose linear weights are rounded to a grid each as they are read: round to nearest over the range of every group.</summary>
internal sealed class GridCheckpoint(ICheckpoint inner, Func<string, WeightGrid?> gridOf, ScaleType scaleType = ScaleType.Float16)
    : AlteredCheckpoint(inner, (_, _) => { })
{
    private readonly Dictionary<string, QuantizedWeight?> _weights = new(StringComparer.Ordinal);
    private readonly HashSet<string> _linears = [.. inner.Layout.Modules.Select(module => module.Name + ".weight")];

    public override void Read(string name, Span<float> destination)
    {
        if (ReadQuantized(name) is { } weight) weight.Reconstruct(destination);
        else base.Read(name, destination);
    }

    public override QuantizedWeight? ReadQuantized(string name)
    {
        if (_weights.TryGetValue(name, out QuantizedWeight? known)) return known;
        return _weights[name] = _linears.Contains(name) && gridOf(name) is { } grid ? Round(name, grid) : null;
    }

    private QuantizedWeight Round(string name, WeightGrid grid)
    {
        IReadOnlyList<int> shape = ShapeOf(name);
        var values = new float[shape[0] * shape[1]];
        base.Read(name, values);
        return grid is TwoLevelGrid native ? Round(values, shape[0], shape[1], native) : Round(values, shape[0], shape[1], (UniformGrid)grid);
    }

    private UniformWeight Round(float[] values, int rows, int columns, UniformGrid grid)
    {
        int groups = grid.GroupsPerRow(columns) * rows, size = values.Length / groups;
        var codes = new byte[values.Length];
        var scales = new float[groups];
        var zeros = new byte[groups];
        for (int group = 0; group < groups; group++)
        {
            Span<float> part = values.AsSpan(group * size, size);
            (float low, float high) = Range(part);
            float largest = Math.Max(-low, high);
            scales[group] = StorageScale.Round(grid.Symmetric ? 2 * largest / grid.MaxCode : (high - low) / grid.MaxCode, scaleType);
            zeros[group] = grid.Symmetric ? (byte)grid.SymmetricZero : (byte)Math.Clamp(MathF.Round(-low / scales[group]), 0, grid.MaxCode);
            for (int i = 0; i < size; i++) codes[(group * size) + i] = Code(part[i] / scales[group], zeros[group], grid.MaxCode);
        }
        return new UniformWeight(rows, columns, grid, codes, scales, grid.Symmetric ? null : zeros, scaleType);
    }

    private static TwoLevelWeight Round(float[] values, int rows, int columns, TwoLevelGrid grid)
    {
        int blocks = values.Length / TwoLevelGrid.BlockSize, groups = values.Length / grid.GroupSize;
        var scales = new TwoLevelScales(
            new Half[blocks], new sbyte[groups], grid.Symmetric ? null : new Half[blocks], grid.Symmetric ? null : new byte[groups]);
        var codes = new byte[values.Length];
        for (int block = 0; block < blocks; block++)
        {
            int first = block * grid.GroupsPerBlock;
            var steps = new float[grid.GroupsPerBlock];
            var minima = new float[grid.GroupsPerBlock];
            for (int sub = 0; sub < steps.Length; sub++)
            {
                (float low, float high) = Range(values.AsSpan((first + sub) * grid.GroupSize, grid.GroupSize));
                steps[sub] = grid.Symmetric ? 2 * Math.Max(-low, high) / grid.MaxCode : (high - low) / grid.MaxCode;
                minima[sub] = -low;
            }
            scales.BlockScales[block] = (Half)(steps.Max() / grid.MaxScale);
            if (scales.BlockMinima is not null) scales.BlockMinima[block] = (Half)(minima.Max() / grid.MaxMinimum);
            for (int sub = 0; sub < steps.Length; sub++)
            {
                scales.GroupScales[first + sub] = (sbyte)Math.Clamp(MathF.Round(steps[sub] / (float)scales.BlockScales[block]), 1, grid.MaxScale);
                if (scales.GroupMinima is not null)
                    scales.GroupMinima[first + sub] = (byte)Math.Clamp(MathF.Round(minima[sub] / (float)scales.BlockMinima![block]), 0, grid.MaxMinimum);
                float step = scales.Scale(block, first + sub), minimum = scales.Minimum(block, first + sub);
                for (int i = (first + sub) * grid.GroupSize; i < (first + sub + 1) * grid.GroupSize; i++)
                    codes[i] = grid.Symmetric ? Code(values[i] / step, grid.SymmetricZero, grid.MaxCode) : Code((values[i] + minimum) / step, 0, grid.MaxCode);
            }
        }
        return new TwoLevelWeight(rows, columns, grid, codes, scales);
    }

    private static byte Code(float steps, int zero, int maxCode) => (byte)Math.Clamp(MathF.Round(steps) + zero, 0, maxCode);

    // Zero lies within, as every grid with a zero point needs it.
    private static (float Low, float High) Range(ReadOnlySpan<float> values)
    {
        float low = 0, high = 1e-3f;
        foreach (float value in values) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return (low, high);
    }
}
