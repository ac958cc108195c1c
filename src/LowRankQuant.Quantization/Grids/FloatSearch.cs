using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>Scales of a weight on a float grid, as they are stored.</summary>
/// <param name="Scales">[scale rows, groups]; positive.</param>
/// <param name="Divisor">What all are divided by; 1 but for <see cref="FloatScaling.Float8"/>.</param>
public sealed record FloatScales(float[] Scales, float Divisor);

/// <summary>
/// First scales of a float grid, from the largest magnitude M of what shares one, as llm-compressor finds them; L is the largest number of the codes:
/// <code>
/// channel, block   s = M / L, rounded to its stored type
/// power of two     <see cref="FloatScale.PowerOfTwoFor"/>
/// 8-bit floats     d = 448 L / M of the matrix;  s = E4M3(M / L d), applied as s / d
/// </code>
/// A search also tries the scales for .97 M, .94 M, ... .52 M, or half and twice the power of two, and keeps the first with the least sum of squared errors.
/// </summary>
internal static class FloatSearch
{
    private const int Shrinks = 16, RowsPerChunk = 8;
    private const float ShrinkStep = 0.03f;

    // Of a group that is all zeros.
    private const float ZeroScale = 0.125f;

    /// <summary>Finds scales.</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="scheme">The grid, how scales are found, and their stored type.</param>
    /// <param name="workers">Threads; scales are independent, so their number changes nothing.</param>
    /// <exception cref="ArgumentOutOfRangeException">A weight is not finite, or a scale does not fit its type.</exception>
    public static FloatScales Find(ReadOnlyMemory<float> weight, int outFeatures, int inFeatures, Scheme scheme, WorkerPool workers)
    {
        var grid = (FloatGrid)scheme.Grid;
        int groups = grid.GroupsPerRow(inFeatures), size = inFeatures / groups, scaleRows = grid.ScaleRows(outFeatures);
        float largest = scheme.FusedLargest ?? Largest(weight.Span);
        // As llm-compressor has it in the type of the model: a reciprocal, and its multiple. Scales are found for what comes of it.
        float divisor = grid.Scaling == FloatScaling.Float8 && largest > 0
            ? StorageScale.Round(SmallFloat.E4M3.Largest * grid.Codes.Largest * StorageScale.RoundAny(1 / largest, scheme.ScaleType), scheme.ScaleType)
            : 1;
        var rule = new Rule(grid, scheme.ScaleType, divisor);
        var scales = new float[scaleRows * groups];
        workers.Run((scaleRows + RowsPerChunk - 1) / RowsPerChunk, chunk =>
        {
            var values = new float[size * Math.Min(grid.GroupRows, outFeatures)];
            for (int row = chunk * RowsPerChunk; row < Math.Min(scaleRows, (chunk + 1) * RowsPerChunk); row++)
            {
                int first = row * grid.GroupRows, rows = Math.Min(grid.GroupRows, outFeatures - first);
                for (int group = 0; group < groups; group++)
                {
                    for (int i = 0; i < rows; i++) weight.Span.Slice(((first + i) * inFeatures) + (group * size), size).CopyTo(values.AsSpan(i * size));
                    ReadOnlySpan<float> shared = values.AsSpan(0, rows * size);
                    float magnitude = Largest(shared);
                    scales[(row * groups) + group] = scheme.Start == GridStart.MinMax || magnitude == 0 ? rule.Scale(magnitude) : rule.Best(shared, magnitude);
                }
            }
        });
        return new FloatScales(scales, divisor);
    }

    /// <summary>The largest magnitude.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A weight is not finite.</exception>
    public static float Largest(ReadOnlySpan<float> values)
    {
        float largest = 0;
        foreach (float value in values)
        {
            if (!float.IsFinite(value)) throw new ArgumentOutOfRangeException(nameof(values), value, "A weight is not finite.");
            largest = Math.Max(largest, Math.Abs(value));
        }
        return largest;
    }

    /// <summary>What magnitudes become scales by.</summary>
    private sealed record Rule(FloatGrid Grid, ScaleType Type, float Divisor)
    {
        /// <summary>The scale, as stored, of values up to a magnitude.</summary>
        public float Scale(float magnitude)
        {
            if (Grid.Scaling == FloatScaling.PowerOfTwo) return FloatScale.PowerOfTwoFor(magnitude, Grid.Codes);
            float scale = magnitude / Grid.Codes.Largest;
            if (Grid.Scaling != FloatScaling.Float8) return StorageScale.Round(scale, Type);
            // The first step is in the type of the model too.
            scale = SmallFloat.E4M3.Round(StorageScale.RoundAny(scale, Type) * Divisor);
            return scale > 0 ? scale : ZeroScale;
        }

        /// <summary>The scale with the least sum of squared errors.</summary>
        public float Best(ReadOnlySpan<float> values, float magnitude)
        {
            float best = Scale(magnitude);
            double least = Error(values, best);
            if (Grid.Scaling == FloatScaling.PowerOfTwo)
            {
                byte exponent = FloatScale.ExponentByte(best);
                Try(values, FloatScale.PowerOfTwo((byte)Math.Max(exponent - 1, 0)), ref best, ref least);
                Try(values, FloatScale.PowerOfTwo((byte)Math.Min(exponent + 1, FloatScale.LargestByte)), ref best, ref least);
                return best;
            }
            for (int i = 1; i <= Shrinks; i++) Try(values, Scale(magnitude * (1 - (i * ShrinkStep))), ref best, ref least);
            return best;
        }

        private void Try(ReadOnlySpan<float> values, float scale, ref float best, ref double least)
        {
            double error = Error(values, scale);
            if (error < least) (best, least) = (scale, error);
        }

        private double Error(ReadOnlySpan<float> values, float stored)
        {
            float scale = (float)(stored / (double)Divisor);
            double sum = 0;
            foreach (float value in values)
            {
                double error = value - (Grid.Codes.Round(value / scale) * (double)scale);
                sum += error * error;
            }
            return sum;
        }
    }
}
