using System.Runtime.InteropServices;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Quantized;

public sealed class TwoLevelWeightTests
{
    public static TheoryData<string> Grids => [.. TwoLevelGrid.All.Select(grid => grid.Name)];

    [Theory]
    [MemberData(nameof(Grids))]
    public void ValuesAreThoseOfGgmlBitForBit(string name)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        TwoLevelWeight weight = KBlocks.Read(grid, File.ReadAllBytes(Golden("blocks", $"{name}.blocks")), 8);
        AssertSameBits(Singles(Golden("blocks", $"{name}.f32")), weight);
    }

    [Theory]
    [InlineData("int3-sym-two-level", "Q3_K", "u8")]
    [InlineData("int6-sym-two-level", "Q6_K", "i8")]
    public void MappingsOfTwoLevelGridsAreHeldExactly(string mapping, string name, string integers)
    {
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        string Part(string end) => Golden("mappings", $"{mapping}.{end}");
        byte[] signed = File.ReadAllBytes(Part("codes.i8"));
        byte[] codes = [.. signed.Select(code => (byte)((sbyte)code + grid.SymmetricZero))];
        Half[] d = MemoryMarshal.Cast<byte, Half>(File.ReadAllBytes(Part("scales.f16"))).ToArray();
        sbyte[] scales = MemoryMarshal.Cast<byte, sbyte>(File.ReadAllBytes(Part($"sub.{integers}"))).ToArray();
        var weight = new TwoLevelWeight(6, 512, grid, codes, new TwoLevelScales(d, scales, null, null));
        AssertSameBits(Singles(Part("f32")), weight);
        byte[] blocks = File.ReadAllBytes(Part("blocks"));
        Assert.Equal(8L * blocks.Length, weight.StoredBits);
        TwoLevelWeight read = KBlocks.Read(grid, blocks, 6);
        Assert.Equal(weight.Codes, read.Codes);
        Assert.Equal(weight.Scales.GroupScales, read.Scales.GroupScales);
        Assert.Equal(weight.Scales.BlockScales, read.Scales.BlockScales);
    }

    [Fact]
    public void StoredBitsAreThoseOfTheEnginesBlocks()
    {
        double[] expected = [2.625, 3.4375, 4.5, 5.5, 6.5625];
        Assert.Equal(expected, TwoLevelGrid.All.Select(grid => grid.StoredBits(3, 512, ScaleType.Float16) / (3.0 * 512)));
    }

    [Fact]
    public void ABranchIsAddedAndCounted()
    {
        TwoLevelWeight plain = Zeros(TwoLevelGrid.Q2K, 2, 256);
        var branch = new LowRankBranch(1, [.. Enumerable.Range(0, 256).Select(i => (float)i)], [1, -1], 16);
        TwoLevelWeight weight = plain.WithBranch(branch);
        var values = new float[512];
        weight.Reconstruct(values);
        Assert.Equal((255f, -255f), (values[255], values[511]));
        Assert.Equal(plain.StoredBits + (16 * 258), weight.StoredBits);
    }

    [Fact]
    public void WrongSizesAndRangesAreRefused()
    {
        TwoLevelGrid q2 = TwoLevelGrid.Q2K, q3 = TwoLevelGrid.Q3K;
        Refused("does not divide a row of 128", () => Zeros(q2, 2, 128));
        Refused("511 codes", () => With(q2, codes: new byte[511]));
        Refused("A code exceeds 3", () => With(q2, codes: [4, .. new byte[511]]));
        Refused("3 block scales", () => With(q2, d: new Half[3]));
        Refused("1 block minima", () => With(q2, dmin: new Half[1]));
        Refused("31 group scales", () => With(q2, scales: new sbyte[31]));
        Refused("not in 0..15", () => With(q2, scales: [16, .. new sbyte[31]]));
        Refused("not in 0..15", () => With(q2, scales: [-1, .. new sbyte[31]]));
        Refused("33 group minima", () => With(q2, minima: new byte[33]));
        Refused("exceeds 15", () => With(q2, minima: [16, .. new byte[31]]));
        Refused("must be finite", () => With(q2, d: [Half.NaN, Half.One]));
        Refused("must be finite", () => With(q2, dmin: [Half.One, Half.PositiveInfinity]));
        Refused("only to them", () => new TwoLevelWeight(2, 256, q3, new byte[512], new TwoLevelScales(new Half[2], new sbyte[32], new Half[2], new byte[32])));
        Refused("only to them", () => new TwoLevelWeight(2, 256, q2, new byte[512], new TwoLevelScales(new Half[2], new sbyte[32], null, null)));
        Refused("not in -32..31", () => new TwoLevelWeight(2, 256, q3, new byte[512], new TwoLevelScales(new Half[2], [.. new sbyte[31], 32], null, null)));
        Refused("branch of rank 1", () => Zeros(q2, 2, 256).WithBranch(new LowRankBranch(1, new float[255], new float[2], 16)));
    }

    private static TwoLevelWeight Zeros(TwoLevelGrid grid, int rows, int columns) => new(
        rows, columns, grid, new byte[rows * columns],
        new TwoLevelScales(new Half[rows * columns / 256], new sbyte[rows * columns / 16], new Half[rows * columns / 256], new byte[rows * columns / 16]));

    private static TwoLevelWeight With(
        TwoLevelGrid grid, byte[]? codes = null, Half[]? d = null, sbyte[]? scales = null, Half[]? dmin = null, byte[]? minima = null) => new(
            2, 256, grid, codes ?? new byte[512],
            new TwoLevelScales(d ?? new Half[2], scales ?? new sbyte[32], dmin ?? new Half[2], minima ?? new byte[32]));

    private static void Refused(string message, Func<TwoLevelWeight> create) => Assert.Contains(message, Assert.Throws<ArgumentException>(create).Message, StringComparison.Ordinal);

    private static string Golden(string folder, string file) => TestData.Path("golden", "gguf", folder, file);

    private static float[] Singles(string path) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path)).ToArray();

    private static void AssertSameBits(float[] expected, TwoLevelWeight weight)
    {
        var values = new float[expected.Length];
        weight.Dequantize(values);
        for (int i = 0; i < values.Length; i++)
            Assert.True(BitConverter.SingleToUInt32Bits(expected[i]) == BitConverter.SingleToUInt32Bits(values[i]), $"element {i}: {values[i]:R} for {expected[i]:R}");
    }
}
