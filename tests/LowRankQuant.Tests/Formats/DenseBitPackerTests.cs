using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests.Formats;

public class DenseBitPackerTests
{
    [Fact]
    public void DensePackingEqualsTheReferenceBothWays()
    {
        int cases = 0;
        foreach ((int bits, int rows, int columns, byte[] codes, uint[] alongColumns, uint[] alongRows) in Units("pack-dense"))
        {
            uint[] packed = new uint[rows * DenseBitPacker.WordsPerRow(columns, bits)];
            DenseBitPacker.Pack(codes, rows, columns, bits, packed);
            Assert.Equal(alongColumns, packed);
            byte[] back = new byte[codes.Length];
            DenseBitPacker.Unpack(packed, rows, columns, bits, back);
            Assert.Equal(codes, back);

            byte[] transposed = Transpose(codes, rows, columns);
            uint[] down = new uint[DenseBitPacker.WordsPerRow(columns, bits) * rows];
            DenseBitPacker.PackColumns(transposed, columns, rows, bits, down);
            Assert.Equal(alongRows, down);
            Array.Clear(back);
            DenseBitPacker.UnpackColumns(down, columns, rows, bits, back);
            Assert.Equal(transposed, back);
            cases++;
        }
        Assert.Equal(72, cases);
    }

    [Fact]
    public void PaddedPackingOfOldFilesIsRead()
    {
        int cases = 0;
        foreach ((int bits, int rows, int columns, byte[] codes, uint[] alongColumns, uint[] alongRows) in Units("pack-padded-0.17"))
        {
            byte[] back = new byte[codes.Length];
            PaddedBitPacker.Unpack(alongColumns, rows, columns, bits, back);
            Assert.Equal(codes, back);
            Array.Clear(back);
            PaddedBitPacker.UnpackColumns(alongRows, columns, rows, bits, back);
            Assert.Equal(Transpose(codes, rows, columns), back);
            cases++;
        }
        Assert.Equal(36, cases);
    }

    [Fact]
    public void EveryWidthAndLengthGoesThere()
    {
        Random random = new(7);
        for (int bits = 1; bits <= 8; bits++)
        {
            for (int columns = 0; columns <= 70; columns++)
            {
                byte[] codes = new byte[columns], back = new byte[columns];
                for (int i = 0; i < columns; i++) codes[i] = (byte)random.Next(1 << bits);
                uint[] words = new uint[DenseBitPacker.WordsPerRow(columns, bits)], naive = new uint[words.Length];
                Array.Fill(words, uint.MaxValue);
                for (int i = 0; i < columns * bits; i++) naive[i / 32] |= (uint)((codes[i / bits] >> (i % bits)) & 1) << (i % 32);
                DenseBitPacker.PackRow(codes, bits, words);
                Assert.Equal(naive, words);
                DenseBitPacker.UnpackRow(words, bits, back);
                Assert.Equal(codes, back);
            }
        }
    }

    [Fact]
    public void WrongSizesAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => DenseBitPacker.WordsPerRow(4, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => DenseBitPacker.WordsPerRow(4, 9));
        Assert.Throws<ArgumentException>(() => DenseBitPacker.PackRow(new byte[32], 3, new uint[4]));
        Assert.Throws<ArgumentException>(() => DenseBitPacker.Unpack(new uint[3], 2, 2, 4, new byte[4]));
    }

    private static IEnumerable<(int Bits, int Rows, int Columns, byte[] Codes, uint[] AlongColumns, uint[] AlongRows)> Units(string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "units", name + ".safetensors"));
        foreach (TensorEntry entry in file.Tensors.Values.Where(t => t.Name.EndsWith(".packed_dim1", StringComparison.Ordinal)).ToList().Some())
        {
            string prefix = entry.Name[..^".packed_dim1".Length];
            string[] parts = prefix[1..].Split('.', 'x');
            int bits = int.Parse(parts[0]), rows = int.Parse(parts[1]), columns = int.Parse(parts[2]);
            using SafetensorsFile codeFile = SafetensorsFile.Open(TestData.Path("golden", "compressed-tensors", "units", "pack-dense.safetensors"));
            sbyte[] signed = new sbyte[rows * columns];
            codeFile.Read(prefix + ".codes", signed.AsSpan());
            byte[] codes = [.. signed.Select(c => (byte)(c + (1 << (bits - 1))))];
            yield return (bits, rows, columns, codes, Words(file, entry.Name), Words(file, prefix + ".packed_dim0"));
        }
    }

    private static byte[] Transpose(byte[] codes, int rows, int columns)
    {
        byte[] result = new byte[codes.Length];
        for (int i = 0; i < codes.Length; i++) result[(i % columns * rows) + (i / columns)] = codes[i];
        return result;
    }

    private static uint[] Words(SafetensorsFile file, string name)
    {
        int[] words = new int[file.Tensors[name].ElementCount];
        file.Read(name, words.AsSpan());
        return [.. words.Select(w => (uint)w)];
    }
}
