namespace LowRankQuant.Numerics.Quantized;

/// <summary>A factor of a low-rank branch in 8 bits: signed codes, one scale for every vector (row of A, column of B); see <see cref="FactorScale"/>.</summary>
/// <param name="Codes">Codes, shaped as the factor.</param>
/// <param name="Scales">Scales as stored, [rank]; 0 for a vector of zeros.</param>
/// <param name="ScaleType">Half or bfloat16.</param>
public sealed record FactorCodes(sbyte[] Codes, float[] Scales, ScaleType ScaleType)
{
    /// <summary>The codes of A [rank, inFeatures]; null where its values are no codes times a 16-bit scale.</summary>
    /// <param name="values">Values that were rounded to 8 bits.</param>
    /// <param name="rank">Rows.</param>
    public static FactorCodes? OfRows(float[] values, int rank) => Of(values, rank, values.Length / rank, 1);

    /// <summary>The codes of B [outFeatures, rank]; null where its values are no codes times a 16-bit scale.</summary>
    /// <param name="values">Values that were rounded to 8 bits.</param>
    /// <param name="rank">Columns.</param>
    public static FactorCodes? OfColumns(float[] values, int rank) => Of(values, rank, 1, rank);

    /// <summary>The values of A.</summary>
    public float[] Rows() => Values(Codes.Length / Scales.Length, 1);

    /// <summary>The values of B.</summary>
    public float[] Columns() => Values(1, Scales.Length);

    private static FactorCodes? Of(float[] values, int rank, int start, int stride)
    {
        int count = values.Length / rank;
        var largest = new double[rank];
        for (int vector = 0; vector < rank; vector++)
        {
            for (int i = 0; i < count; i++) largest[vector] = Math.Max(largest[vector], Math.Abs((double)values[(vector * start) + (i * stride)]));
        }
        // The largest code of every vector is 127, so its scale can be told from its largest value.
        return InType(ScaleType.Float16) ?? InType(ScaleType.BFloat16);

        FactorCodes? InType(ScaleType type)
        {
            var result = new FactorCodes(new sbyte[values.Length], new float[rank], type);
            for (int vector = 0; vector < rank; vector++)
            {
                double scale = FactorScale.Round(largest[vector], type);
                if (!double.IsFinite(scale)) return null;
                result.Scales[vector] = (float)scale;
                for (int i = 0; i < count; i++)
                {
                    int at = (vector * start) + (i * stride);
                    double code = scale > 0 ? Math.Round(values[at] / scale) : 0;
                    if (!(Math.Abs(code) <= FactorScale.MaxCode) || (float)(code * scale) != values[at]) return null;
                    result.Codes[at] = (sbyte)code;
                }
            }
            return result;
        }
    }

    private float[] Values(int start, int stride)
    {
        var values = new float[Codes.Length];
        int count = Codes.Length / Scales.Length;
        for (int vector = 0; vector < Scales.Length; vector++)
        {
            for (int i = 0; i < count; i++)
            {
                int at = (vector * start) + (i * stride);
                values[at] = Codes[at] * Scales[vector];
            }
        }
        return values;
    }
}
