using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Autograd.Sequences;

namespace LowRankQuant.Models.Decoder.Recurrent;

/// <summary>A causal convolution of every channel by itself: y_t = sum over j of w_j x_(t - taps + 1 + j), plus a bias; the last tap meets the row itself.</summary>
/// <param name="weight">[channels, taps], in any shape.</param>
/// <param name="bias">[channels], or null.</param>
/// <param name="channels">Channels.</param>
/// <param name="taps">Rows that a row sees, itself included.</param>
internal sealed class CausalConvolution(Tensor weight, Tensor? bias, int channels, int taps)
{
    /// <summary>Channels.</summary>
    public int Channels => channels;

    /// <summary>Rows in front that a row sees: the state that is kept of a sequence is as many rows of inputs.</summary>
    public int Reach => taps - 1;

    /// <summary>The tensors of a model whose convolution is <c>part.weight</c> [channels, 1, taps] and, where it has one, <c>part.bias</c> [channels].</summary>
    public static CausalConvolution Load(BlockParts parts, string part, int channels, int taps, bool bias) => new(
        parts.Tensor($"{part}.weight", channels, 1, taps), bias ? parts.Tensor($"{part}.bias", channels) : null, channels, taps);

    /// <summary>Applies it.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="x">[rows, channels].</param>
    /// <param name="shape">The sequences.</param>
    /// <param name="front">[sequences * reach, channels], the inputs in front of each; null for zeros.</param>
    /// <param name="behind">Receives the last inputs of each; may be <paramref name="front"/>; null where nobody asks.</param>
    public Variable Apply(Tape tape, Variable x, SequenceShape shape, Tensor? front, Tensor? behind)
    {
        Variable y = tape.CausalConvolution(x, shape.Length, weight.View(channels, taps), bias, front);
        if (behind is not null) Remember(tape.Device.Kernels, x.Value, shape, front, behind);
        return y;
    }

    private void Remember(IKernels kernels, Tensor x, SequenceShape shape, Tensor? front, Tensor behind)
    {
        int older = Math.Max(0, Reach - shape.Length);
        for (int sequence = 0; sequence < shape.Batch; sequence++)
        {
            Tensor kept = behind.RowRange(sequence * Reach, Reach);
            for (int row = 0; row < older; row++)
            {
                // From the front on, so that a row is read before it is written.
                if (front is null) kernels.Fill(kept.RowRange(row, 1), 0);
                else kernels.Copy(front.RowRange((sequence * Reach) + row + shape.Length, 1), kept.RowRange(row, 1));
            }
            int newer = Reach - older;
            if (newer > 0) kernels.Copy(x.RowRange(((sequence + 1) * shape.Length) - newer, newer), kept.RowRange(older, newer));
        }
    }
}
