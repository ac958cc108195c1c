namespace LowRankQuant.Numerics.Autograd;

/// <summary>Scalar losses. Each ends a tape: it sets the gradient of its input and plays the tape back.</summary>
public static class LossOperation
{
    /// <summary>
    /// factor * sum over rows of rowWeights * sum over columns of (x - target)^2. When the tape records, the gradients of everything that led to x
    /// are computed as well.
    /// </summary>
    /// <param name="tape">The tape that produced x.</param>
    /// <param name="x">[rows, n].</param>
    /// <param name="target">[rows, n].</param>
    /// <param name="rowWeights">[rows], or null for ones.</param>
    /// <param name="factor">Multiplies the sum; the LRQ loss has 1 / (batch * n).</param>
    /// <param name="metric">M, [n, n] and symmetric: a row counts e M e^T, e = x - target, instead of e e^T; null for the identity.</param>
    /// <returns>The loss, summed in double precision, window by window (<see cref="Tape.Windows"/>).</returns>
    public static double SquaredErrorAndBackward(this Tape tape, Variable x, Tensor target, Tensor? rowWeights, float factor, Tensor? metric = null)
    {
        bool backward = tape.Recording && x.RequiresGradient;
        Tensor? gradient = backward ? x.GradientTarget(tape, out _) : null;
        int[] windows = tape.Windows ?? [0, x.Value.Rows];
        double loss = 0;
        for (int window = 1; window < windows.Length; window++)
        {
            int first = windows[window - 1], rows = windows[window] - first;
            loss += metric is null
                ? tape.Kernels.SquaredError(x.Value.RowRange(first, rows), target.RowRange(first, rows), rowWeights?.Slice(first, rows), factor, gradient?.RowRange(first, rows))
                : MetricError(tape, x.Value.RowRange(first, rows), target.RowRange(first, rows), rowWeights?.Slice(first, rows), factor, metric, gradient?.RowRange(first, rows));
        }
        if (backward) tape.BackwardFromGradients();
        return loss;
    }

    private static double MetricError(Tape tape, Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor metric, Tensor? gradient)
    {
        using Tensor error = tape.Device.Empty(x.Shape), felt = tape.Device.Empty(x.Shape);
        tape.Kernels.Copy(x, error);
        tape.Kernels.AddScaled(target, -1, error);
        tape.Kernels.MatMul(error, false, metric, false, felt, accumulate: false);
        int columns = x.Columns;
        var sums = new double[x.Rows];
        float[]? weights = rowWeights?.ToArray();
        tape.Device.HostWorkers.Run(x.Rows, row =>
        {
            ReadOnlySpan<float> e = error.Span.Slice(row * columns, columns), f = felt.Span.Slice(row * columns, columns);
            double sum = 0;
            for (int i = 0; i < columns; i++) sum += (double)e[i] * f[i];
            float weight = factor * (weights?[row] ?? 1);
            sums[row] = weight * sum;
            if (gradient is null) return;
            Span<float> slope = gradient.Span.Slice(row * columns, columns);
            for (int i = 0; i < columns; i++) slope[i] = 2 * weight * f[i];
        });
        double loss = 0;
        foreach (double sum in sums) loss += sum;
        return loss;
    }

    /// <summary>Sum over rows of scale * -log p(targets[r]), and gradients when the tape records. A target of -1 is left out.</summary>
    /// <param name="tape">The tape that produced the logits.</param>
    /// <param name="logits">[rows, vocabulary].</param>
    /// <param name="targets">One id per row, or -1.</param>
    /// <param name="scale">Multiplies the sum; 1 / rows gives the mean.</param>
    public static double CrossEntropyAndBackward(this Tape tape, Variable logits, ReadOnlySpan<int> targets, float scale)
    {
        Tensor losses = tape.Rent(logits.Value.Rows), logSumExp = tape.Rent(logits.Value.Rows);
        tape.Kernels.CrossEntropyForward(logits.Value, targets, losses, logSumExp);
        double sum = 0;
        foreach (float loss in losses.ToArray()) sum += loss;
        if (tape.Recording && logits.RequiresGradient)
        {
            tape.Kernels.CrossEntropyBackward(logits.Value, targets, logSumExp, scale, logits.GradientTarget(tape, out _));
            tape.BackwardFromGradients();
        }
        return sum * scale;
    }

    /// <summary>
    /// scale * sum over rows of KL(softmax(reference) || softmax(logits)), and gradients when the tape records:
    /// dlogits = scale (softmax(logits) - softmax(reference)).
    /// </summary>
    /// <param name="tape">The tape that produced the logits.</param>
    /// <param name="logits">[rows, vocabulary].</param>
    /// <param name="reference">[rows, vocabulary]; overwritten when the tape records.</param>
    /// <param name="scale">Multiplies the sum; 1 / rows gives the mean.</param>
    /// <returns>The loss in nats, summed in double precision.</returns>
    public static double KlDivergenceAndBackward(this Tape tape, Variable logits, Tensor reference, float scale)
    {
        int rows = logits.Value.Rows;
        var divergences = new double[rows];
        tape.Kernels.KlDivergence(reference, logits.Value, divergences);
        double sum = 0;
        foreach (double divergence in divergences) sum += divergence;
        if (tape.Recording && logits.RequiresGradient)
        {
            // The same one-hot vectors are taken off both sides, so only the two softmaxes remain of the difference.
            var labels = new int[rows];
            Tensor logSumExp = tape.Rent(rows), gradient = logits.GradientTarget(tape, out _);
            tape.Kernels.SoftmaxStatistics(reference, logSumExp, labels);
            tape.Kernels.CrossEntropyBackward(reference, labels, logSumExp, scale, reference);
            var largest = new int[rows];
            tape.Kernels.SoftmaxStatistics(logits.Value, logSumExp, largest);
            tape.Kernels.CrossEntropyBackward(logits.Value, labels, logSumExp, scale, gradient);
            tape.Kernels.AddScaled(reference, -1, gradient);
            tape.BackwardFromGradients();
        }
        return sum * scale;
    }
}
