using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Evaluation.Figures;

/// <summary>
/// How far the output of every block is from that of the same block in another model, each on its own stream, so that what all blocks before it did is in it: the root mean square
/// over tokens and channels, as LRQ's authors draw it (Lee et al., NAACL 2025). Computed in single precision, summed in double.
/// </summary>
public static class AccumulatedError
{
    /// <summary>Takes windows through both models, block by block; one block is in memory at a time.</summary>
    /// <param name="model">The model to judge; not owned.</param>
    /// <param name="reference">The model it should equal; not owned.</param>
    /// <param name="windows">Token ids, at least one window; lengths may differ.</param>
    /// <param name="progress">Told about every block.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>sqrt(mean((X - X_reference)^2)) of the output of every block, in model order.</returns>
    /// <exception cref="EvaluationException">The models have other shapes or devices, or a window is empty or longer than their positions.</exception>
    public static IReadOnlyList<double> Of(
        ModelRunner model, ModelRunner reference, IReadOnlyList<int[]> windows, IProgress<EvaluationProgress>? progress = null, CancellationToken cancellation = default)
    {
        (int layers, int width) = (model.Model.Config.Layers, model.Model.Config.HiddenSize);
        if ((layers, width) != (reference.Model.Config.Layers, reference.Model.Config.HiddenSize))
            throw new EvaluationException($"The model has {layers} blocks of width {width} and the reference {reference.Model.Config.Layers} of width {reference.Model.Config.HiddenSize}; they cannot be compared.");
        if (!ReferenceEquals(model.Model.Device, reference.Model.Device)) throw new EvaluationException("The model and the reference must be opened on one device.");
        using ActivationStream own = model.Embed(windows, cancellation), other = reference.Embed(windows, cancellation);
        using Tensor expected = reference.Model.Device.Empty(other.Rows, other.Columns);
        long values = windows.Sum(window => (long)window.Length) * width;
        var errors = new double[layers];
        for (int i = 0; i < layers; i++)
        {
            double sum = 0;
            reference.Advance(other, i, null, null, cancellation);
            model.Advance(
                own,
                i,
                (number, output) =>
                {
                    Tensor window = expected.RowRange(0, windows[number].Length);
                    other.Read(number, window);
                    sum += SquaredDistance(output.Span, window.Span);
                },
                null,
                cancellation);
            errors[i] = Math.Sqrt(sum / values);
            progress?.Report(new EvaluationProgress($"block {i + 1} of {layers}", i + 1, layers));
        }
        model.Model.Device.Trim();
        return errors;
    }

    private static double SquaredDistance(ReadOnlySpan<float> one, ReadOnlySpan<float> other)
    {
        double sum = 0;
        for (int i = 0; i < one.Length; i++) sum += ((double)one[i] - other[i]) * ((double)one[i] - other[i]);
        return sum;
    }
}
