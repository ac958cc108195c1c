namespace LowRankQuant.Numerics.Kernels.Simd.Integers;

/// <summary>4 x 8 tile of pairs without vectors.</summary>
internal readonly unsafe struct IntegerTileScalar : IIntegerTile
{
    public static int Rows => 4;

    public static int Columns => 8;

    public static int CodesPerWord => 2;

    public static void Multiply(int words, int* a, int* b, int flush, int* sums)
    {
        new Span<int>(sums, 32).Clear();
        for (int word = 0; word < words; word++, a += 4, b += 8)
        {
            for (int i = 0; i < 32; i++)
            {
                int x = a[i / 8], w = b[i % 8];
                sums[i] += ((short)x * (short)w) + ((x >> 16) * (w >> 16));
            }
        }
    }
}
