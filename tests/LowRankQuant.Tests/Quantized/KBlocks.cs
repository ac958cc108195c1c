using System.Buffers.Binary;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Quantized;

/// <summary>Takes K blocks apart, straight from the tables of the format and apart from the product's own code.</summary>
internal static class KBlocks
{
    public static TwoLevelWeight Read(TwoLevelGrid grid, byte[] bytes, int rows)
    {
        int size = (int)(grid.StoredBits(1, TwoLevelGrid.BlockSize, ScaleType.Float16) / 8), blocks = bytes.Length / size;
        Assert.Equal(0, bytes.Length % size);
        var codes = new byte[blocks * TwoLevelGrid.BlockSize];
        Half[] d = new Half[blocks], dmin = new Half[blocks];
        var scales = new sbyte[blocks * grid.GroupsPerBlock];
        var minima = new byte[scales.Length];
        for (int i = 0; i < blocks; i++)
        {
            var block = new Block(bytes.AsSpan(i * size, size), i, codes.AsSpan(i * 256, 256),
                scales.AsSpan(i * grid.GroupsPerBlock, grid.GroupsPerBlock), minima.AsSpan(i * grid.GroupsPerBlock, grid.GroupsPerBlock), d, dmin);
            switch (grid.Bits)
            {
                case 2: ReadQ2(block); break;
                case 3: ReadQ3(block); break;
                case 6: ReadQ6(block); break;
                default: ReadQ45(block, grid.Bits); break;
            }
        }
        return new TwoLevelWeight(
            rows, blocks / rows * 256, grid, codes, new TwoLevelScales(d, scales, grid.Symmetric ? null : dmin, grid.Symmetric ? null : minima));
    }

    private static Half At(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadHalfLittleEndian(bytes[offset..]);

    private static void ReadQ2(Block block)
    {
        (block.D[block.Index], block.Minimum[block.Index]) = (At(block.Bytes, 80), At(block.Bytes, 82));
        for (int group = 0; group < 16; group++)
        {
            block.Scales[group] = (sbyte)(block.Bytes[group] & 15);
            block.Minima[group] = (byte)(block.Bytes[group] >> 4);
        }
        for (int i = 0; i < 256; i++) block.Codes[i] = (byte)((block.Bytes[16 + (32 * (i / 128)) + (i % 32)] >> (2 * (i % 128 / 32))) & 3);
    }

    private static void ReadQ3(Block block)
    {
        block.D[block.Index] = At(block.Bytes, 108);
        for (int group = 0; group < 16; group++)
        {
            int low = group < 8 ? block.Bytes[96 + group] & 15 : block.Bytes[96 + group - 8] >> 4;
            int high = (block.Bytes[104 + (group % 4)] >> (2 * (group / 4))) & 3;
            block.Scales[group] = (sbyte)((low | (high << 4)) - 32);
        }
        for (int i = 0; i < 256; i++)
        {
            int half = i / 128, step = i % 128 / 32, low = (block.Bytes[32 + (32 * half) + (i % 32)] >> (2 * step)) & 3;
            block.Codes[i] = (byte)(low + (4 * ((block.Bytes[i % 32] >> ((4 * half) + step)) & 1)));
        }
    }

    private static void ReadQ45(Block block, int bits)
    {
        (block.D[block.Index], block.Minimum[block.Index]) = (At(block.Bytes, 0), At(block.Bytes, 2));
        ReadOnlySpan<byte> b = block.Bytes.Slice(4, 12);
        for (int j = 0; j < 8; j++)
        {
            block.Scales[j] = (sbyte)(j < 4 ? b[j] & 63 : (b[j + 4] & 15) | ((b[j - 4] >> 6) << 4));
            block.Minima[j] = (byte)(j < 4 ? b[j + 4] & 63 : (b[j + 4] >> 4) | ((b[j] >> 6) << 4));
        }
        int codes = bits == 4 ? 16 : 48;
        for (int i = 0; i < 256; i++)
        {
            int nibble = (block.Bytes[codes + (32 * (i / 64)) + (i % 32)] >> (4 * (i / 32 % 2))) & 15;
            block.Codes[i] = (byte)(nibble + (bits == 4 ? 0 : 16 * ((block.Bytes[16 + (i % 32)] >> (i / 32)) & 1)));
        }
    }

    private static void ReadQ6(Block block)
    {
        block.D[block.Index] = At(block.Bytes, 208);
        for (int group = 0; group < 16; group++) block.Scales[group] = (sbyte)block.Bytes[192 + group];
        for (int i = 0; i < 256; i++)
        {
            int half = i / 128, within = i % 128;
            int low = (block.Bytes[(64 * half) + (within % 64)] >> (4 * (within / 64))) & 15;
            int high = (block.Bytes[128 + (32 * half) + (within % 32)] >> (2 * (within / 32))) & 3;
            block.Codes[i] = (byte)(low | (high << 4));
        }
    }

    private readonly ref struct Block(
        ReadOnlySpan<byte> bytes, int index, Span<byte> codes, Span<sbyte> scales, Span<byte> minima, Half[] d, Half[] minimum)
    {
        public readonly ReadOnlySpan<byte> Bytes = bytes;
        public readonly int Index = index;
        public readonly Span<byte> Codes = codes;
        public readonly Span<sbyte> Scales = scales;
        public readonly Span<byte> Minima = minima;
        public readonly Half[] D = d;
        public readonly Half[] Minimum = minimum;
    }
}
