namespace LowRankQuant.Models.Verification;

/// <summary>The first place where a tensor of a container is not what the run has.</summary>
/// <param name="Tensor">Tensor or module.</param>
/// <param name="Detail">What differs, where, and both values.</param>
public sealed record Difference(string Tensor, string Detail)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Tensor}: {Detail}";
}
