using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Folds;

/// <summary>An orthogonal matrix Q over channels that can be multiplied by quickly.</summary>
public interface IChannelRotation
{
    /// <summary>Channels.</summary>
    int Size { get; }

    /// <summary>v becomes v Q for vectors that lie side by side.</summary>
    /// <param name="values">[<see cref="Size"/>, <paramref name="lanes"/>]: a vector is a column.</param>
    /// <param name="lanes">Vectors.</param>
    void Apply(Span<double> values, int lanes);
}

/// <summary>Rotations of matrices, in double precision, rounded once at the end.</summary>
internal static class Rotations
{
    // Columns that are rotated together: enough to fill vectors, few enough for a cache.
    private const int Tile = 32;
    private const int RowsPerChunk = 64;

    /// <summary>W becomes W diag(gain) Q in some columns: what a reader of rotated channels needs. A row by itself is a vector of the channels.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="start">The first of the rotated columns.</param>
    /// <param name="rotation">Q.</param>
    /// <param name="gain">Of the rotated columns; null for ones.</param>
    /// <param name="workers">Threads; the result does not depend on them.</param>
    public static void Columns(float[] values, int columns, int start, IChannelRotation rotation, double[]? gain, WorkerPool workers)
    {
        int rows = values.Length / columns, size = rotation.Size;
        workers.Run((rows + RowsPerChunk - 1) / RowsPerChunk, chunk =>
        {
            var vector = new double[size];
            for (int row = chunk * RowsPerChunk; row < Math.Min(rows, (chunk + 1) * RowsPerChunk); row++)
            {
                Span<float> own = values.AsSpan((int)(((long)row * columns) + start), size);
                for (int i = 0; i < size; i++) vector[i] = gain is null ? own[i] : own[i] * gain[i];
                rotation.Apply(vector, 1);
                for (int i = 0; i < size; i++) own[i] = (float)vector[i];
            }
        });
    }

    /// <summary>As <see cref="Columns(float[], int, int, IChannelRotation, double[], WorkerPool)"/> for all columns of a large matrix in the memory of its device, part by part.</summary>
    /// <param name="matrix">[rows, columns].</param>
    /// <param name="rotation">Q.</param>
    /// <param name="gain">Of the columns; null for ones.</param>
    /// <param name="rounding">To the digits that are stored; null for all digits.</param>
    public static void Columns(Tensor matrix, IChannelRotation rotation, double[]? gain, Func<float, float>? rounding)
    {
        const int part = 1024;
        for (int row = 0; row < matrix.Rows; row += part)
        {
            Tensor rows = matrix.RowRange(row, Math.Min(part, matrix.Rows - row));
            float[] values = rows.ToArray();
            Columns(values, matrix.Columns, 0, rotation, gain, matrix.Device.HostWorkers);
            rows.CopyFrom(rounding is null ? values : Array.ConvertAll(values, value => rounding(value)));
        }
    }

    /// <summary>W becomes Q^T W in some rows: what a writer of rotated channels needs.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="start">The first of the rotated rows.</param>
    /// <param name="rotation">Q.</param>
    /// <param name="workers">Threads; the result does not depend on them.</param>
    public static void Rows(float[] values, int columns, int start, IChannelRotation rotation, WorkerPool workers)
    {
        int size = rotation.Size;
        workers.Run((columns + Tile - 1) / Tile, tile =>
        {
            int first = tile * Tile, width = Math.Min(Tile, columns - first);
            var vectors = new double[size * width];
            for (int row = 0; row < size; row++)
            {
                ReadOnlySpan<float> own = values.AsSpan((int)(((long)(start + row) * columns) + first), width);
                for (int i = 0; i < width; i++) vectors[(row * width) + i] = own[i];
            }
            rotation.Apply(vectors, width);
            for (int row = 0; row < size; row++)
            {
                Span<float> own = values.AsSpan((int)(((long)(start + row) * columns) + first), width);
                for (int i = 0; i < width; i++) own[i] = (float)vectors[(row * width) + i];
            }
        });
    }
}
