namespace LowRankQuant.Tests.Readers;

/// <summary>A tensor as the reference files hold it: row-major 32-bit floats.</summary>
internal sealed record NamedTensor(int[] Shape, float[] Values)
{
    public int Rows => Shape[0];

    public int Columns => Shape.Length == 1 ? 1 : Shape[1];
}
