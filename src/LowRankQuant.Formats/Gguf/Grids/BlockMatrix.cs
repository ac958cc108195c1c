namespace LowRankQuant.Formats.Gguf.Grids;

/// <summary>The fields of all blocks of a matrix, row-major in the model's order of rows, in the forms of <c>BlockContent</c>.</summary>
internal sealed class BlockMatrix
{
    private BlockMatrix(BlockFormat format, int rows, int columns)
    {
        Format = format;
        Rows = rows;
        Columns = columns;
        int blocks = rows * PerRow;
        Codes = new byte[rows * columns];
        Scales = new Half[blocks];
        Minima = new Half[blocks];
        SubScales = new byte[blocks * format.SubBlocks];
        SubMinima = new byte[blocks * format.SubBlocks];
    }

    /// <summary>Type of the blocks.</summary>
    public BlockFormat Format { get; }

    /// <summary>Rows.</summary>
    public int Rows { get; }

    /// <summary>Columns.</summary>
    public int Columns { get; }

    /// <summary>Blocks of a row.</summary>
    public int PerRow => Columns / Format.Elements;

    /// <summary>Codes as stored, [rows, columns].</summary>
    public byte[] Codes { get; }

    /// <summary>d of every block.</summary>
    public Half[] Scales { get; }

    /// <summary>m or dmin of every block; zeros where the type has none.</summary>
    public Half[] Minima { get; }

    /// <summary>Integer scales of the sub-blocks as stored; empty where there are none.</summary>
    public byte[] SubScales { get; }

    /// <summary>Integer minima of the sub-blocks; zeros where the type has none.</summary>
    public byte[] SubMinima { get; }

    /// <summary>Reads the blocks of rows of a tensor.</summary>
    /// <param name="file">The file.</param>
    /// <param name="name">Tensor, a matrix or several one behind the other.</param>
    /// <param name="format">Its type.</param>
    /// <param name="firstRow">The first row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="modelRow">The model's row of every row that is read; null where they are the same.</param>
    /// <exception cref="CheckpointFormatException">The matrix is too large for memory, or a half is NaN or infinite.</exception>
    public static BlockMatrix Read(GgufFile file, string name, BlockFormat format, long firstRow, long rows, Func<int, int>? modelRow)
    {
        long columns = file.Tensors[name].Shape[^1];
        if (rows > Array.MaxLength || columns > Array.MaxLength || rows * columns > Array.MaxLength)
            throw new CheckpointFormatException("size-mismatch", file.Location, name, $"is [{rows}, {columns}]; at most {Array.MaxLength} codes are held at once.");
        var matrix = new BlockMatrix(format, (int)rows, (int)columns);
        int rowBytes = matrix.PerRow * format.Bytes;
        for (int row = 0; row < matrix.Rows; row++) matrix.Unpack(file.GetBytes(name, (firstRow + row) * rowBytes, rowBytes), modelRow?.Invoke(row) ?? row);
        matrix.Check(file.Location, name);
        return matrix;
    }

    private void Unpack(ReadOnlySpan<byte> bytes, int row)
    {
        int subs = Format.SubBlocks;
        for (int i = 0; i < PerRow; i++)
        {
            int block = (row * PerRow) + i;
            (ushort scale, ushort minimum) = Format.Unpack(
                bytes.Slice(i * Format.Bytes, Format.Bytes), Codes.AsSpan(block * Format.Elements, Format.Elements), SubScales.AsSpan(block * subs, subs),
                SubMinima.AsSpan(block * subs, subs));
            (Scales[block], Minima[block]) = (BitConverter.UInt16BitsToHalf(scale), BitConverter.UInt16BitsToHalf(minimum));
        }
    }

    private void Check(string location, string name)
    {
        for (int block = 0; block < Scales.Length; block++)
        {
            Half bad = Half.IsFinite(Scales[block]) ? Minima[block] : Scales[block];
            if (!Half.IsFinite(bad))
                throw new CheckpointFormatException("bad-scale", location, name, $"block {block % PerRow} of row {block / PerRow} has {bad} as a scale or minimum; they must be finite.");
        }
    }
}
