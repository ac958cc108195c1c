namespace LowRankQuant.Numerics.Autograd.Sequences;

/// <summary>Rotary position embedding: pairs (u, v) of every head become (u cos - v sin, v cos + u sin).</summary>
public static class RotaryOperation
{
    /// <summary>Rotates every head of every row by the angles of its position.</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="x">[batch * sequenceLength, heads * headSize].</param>
    /// <param name="angles">Tables of cosines and sines.</param>
    /// <param name="headSize">Elements of one head.</param>
    /// <param name="sequenceLength">Rows of one sequence.</param>
    /// <param name="positionOffset">Position of the first row of each sequence.</param>
    /// <returns>Shaped as x.</returns>
    public static Variable Rotate(this Tape tape, Variable x, RotaryAngles angles, int headSize, int sequenceLength, int positionOffset = 0)
    {
        Tensor y = tape.Rent(x.Value.Shape);
        tape.Kernels.Rotate(x.Value, angles.Cosine, angles.Sine, headSize, angles.Interleaved, sequenceLength, positionOffset, inverse: false, y);
        Variable output = tape.Output(y, x.RequiresGradient);
        tape.Record(output, () =>
        {
            GradientSink dx = GradientSink.For(tape, x);
            tape.Kernels.Rotate(
                output.Gradient!, angles.Cosine, angles.Sine, headSize, angles.Interleaved, sequenceLength, positionOffset, inverse: true, dx.Target);
            dx.Finish();
        });
        return output;
    }
}

/// <summary>Cosines and sines of a rotary embedding on a device.</summary>
/// <param name="Cosine">[positions, rotated / 2], times the attention factor.</param>
/// <param name="Sine">[positions, rotated / 2], times the attention factor.</param>
/// <param name="Interleaved">Pairs are (2j, 2j + 1); otherwise (j, j + rotated / 2).</param>
public sealed record RotaryAngles(Tensor Cosine, Tensor Sine, bool Interleaved) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        Cosine.Dispose();
        Sine.Dispose();
    }
}
