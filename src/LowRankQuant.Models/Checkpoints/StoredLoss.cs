using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// What rounding lost of a weight that is stored on a grid: a number may be anywhere within the step around its code, and so errs by step^2 / 12 in the mean square, or anywhere within
/// the cell of its float.
/// </summary>
internal static class StoredLoss
{
    /// <summary>Root mean square, relative to the weight without its branch.</summary>
    public static double Of(QuantizedWeight weight)
    {
        var values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        int groups = weight.Grid.GroupsPerRow(weight.InFeatures), size = weight.InFeatures / groups;
        var loss = new RoundingLoss();
        double[] cells = weight is FloatWeight { Grid: { } grid } ? LevelCells.Errors(grid.Codes.Values) : [];
        for (int i = 0; i < values.Length; i++)
        {
            int group = i / size;
            if (weight is FloatWeight floats)
            {
                double scale = floats.ScaleOf(group / groups, group % groups);
                loss.Add(values[i], cells[floats.Codes[i]] * scale * scale);
                continue;
            }
            double step = weight switch
            {
                UniformWeight { Grid.Granularity: Granularity.Tensor } uniform => uniform.Scales[0],
                UniformWeight uniform => uniform.Scales[group],
                AffineWeight affine => affine.Scales[group],
                TwoLevelWeight two => two.Scales.Scale(group / two.Grid.GroupsPerBlock, group),
                _ => 0,
            };
            loss.Add(values[i], step * step / 12);
        }
        return loss.Relative;
    }
}
