namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>Rows taken out of a matrix: row r of what is taken is row Start + r / Run * Stride + r % Run.</summary>
/// <param name="Start">The first.</param>
/// <param name="Count">How many.</param>
/// <param name="Run">Rows that follow each other.</param>
/// <param name="Stride">From the start of one run to that of the next.</param>
public readonly record struct RowPattern(int Start, int Count, int Run, int Stride)
{
    /// <summary>Rows that follow each other.</summary>
    public static RowPattern Range(int start, int count) => new(start, count, count, count);

    /// <summary>The number in the matrix of row <paramref name="row"/> of what is taken.</summary>
    public int Of(int row) => Start + (row / Run * Stride) + (row % Run);

    /// <summary>Whether the rows follow each other.</summary>
    public bool IsRange => Run >= Count || Stride == Run;
}

/// <summary>
/// How a tensor of the model lies in a stored one: at some element of it begins a matrix, which may be stored input by input, and of whose rows some are
/// taken. So are the parts of fused projections, GPT-2's transposed weights, and experts of a stack.
/// </summary>
/// <param name="Stored">Name of the stored tensor.</param>
/// <param name="StoredShape">Its shape.</param>
/// <param name="Offset">Its element at which the matrix begins.</param>
/// <param name="Rows">Rows of the matrix as it is stored.</param>
/// <param name="Columns">Columns of the matrix as it is stored.</param>
/// <param name="Transposed">Whether rows are taken of its transpose.</param>
/// <param name="Pattern">The rows that are taken.</param>
public sealed record StoredView(string Stored, IReadOnlyList<int> StoredShape, long Offset, int Rows, int Columns, bool Transposed, RowPattern Pattern)
{
    /// <summary>End of the name of the stored tensor where it holds MXFP4 codes; its scales lie beside it.</summary>
    public const string Mxfp4Blocks = "_blocks";

    /// <summary>Whether the stored tensor holds MXFP4 codes, two a byte, of blocks of 32 inputs.</summary>
    public bool IsMxfp4 { get; init; }

    /// <summary>The stored tensor of MXFP4 scales.</summary>
    public string Mxfp4Scales => Stored[..^Mxfp4Blocks.Length] + "_scales";

    /// <summary>One matrix of a stack.</summary>
    /// <param name="stored">Name of the stack.</param>
    /// <param name="shape">Shape of the stack as it is stored.</param>
    /// <param name="index">Number of the matrix.</param>
    /// <param name="rows">Rows of the matrix as stored.</param>
    /// <param name="columns">Columns of the matrix as stored.</param>
    /// <param name="transposed">Whether rows are taken of its transpose.</param>
    /// <param name="pattern">The rows that are taken.</param>
    public static StoredView OfStack(string stored, int[] shape, int index, int rows, int columns, bool transposed, RowPattern pattern) =>
        new(stored, shape, (long)index * rows * columns, rows, columns, transposed, pattern);

    /// <summary>A view of rows of a matrix [rows, columns].</summary>
    public static StoredView OfRows(string stored, int rows, int columns, RowPattern pattern) => new(stored, [rows, columns], 0, rows, columns, false, pattern);

    /// <summary>A view of rows of the transpose of a matrix stored as [columns, rows].</summary>
    public static StoredView OfTransposed(string stored, int rows, int columns, RowPattern pattern) => new(stored, [columns, rows], 0, columns, rows, true, pattern);

    /// <summary>A view of elements of a vector.</summary>
    public static StoredView OfVector(string stored, int size, RowPattern pattern) => new(stored, [size], 0, size, 1, false, pattern);

    /// <summary>Columns of what is taken.</summary>
    public int TakenColumns => Transposed ? Rows : Columns;

    /// <summary>The stored element of element <paramref name="column"/> of row <paramref name="row"/> of what is taken.</summary>
    public long ElementOf(int row, int column)
    {
        int taken = Pattern.Of(row);
        return Offset + (Transposed ? ((long)column * Columns) + taken : ((long)taken * Columns) + column);
    }
}
