namespace LowRankQuant.Models.Decoder.Passes;

/// <summary>How the rows of an activation matrix form sequences: row b * Length + t is position t of sequence b.</summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Positions of each.</param>
public readonly record struct SequenceShape(int Batch, int Length)
{
    /// <summary>Rows in all.</summary>
    public int Rows => checked(Batch * Length);
}
