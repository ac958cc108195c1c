using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>Blocked products with one tile kernel; <see cref="GemmDriver{TKernel}"/> is the implementation.</summary>
internal abstract class GemmDriver
{
    /// <summary>Runs the product on the pool, or on the calling thread alone where <paramref name="pool"/> is null. m, n and k are not 0.</summary>
    public abstract void Multiply(in GemmProblem problem, WorkerPool? pool);

    protected static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>Length of equal pieces (but for the last) not longer than <paramref name="largest"/>.</summary>
    protected static int Piece(int total, int largest, int multiple)
    {
        int pieces = (total + largest - 1) / largest;
        return Math.Min(largest, RoundUp((total + pieces - 1) / pieces, multiple));
    }
}

/// <summary>
/// The loops around a tile kernel. The result is cut into a grid of rectangles, two for each thread, and each is a product of its own, whose thread
/// packs what it needs: threads meet only at the end, which saves more than packing some numbers twice costs. Within a rectangle a piece of b is
/// packed, then blocks of rows of a, which stay in the second-level cache while the panels of b pass by. A sum is cut at fixed places of k, so its
/// value depends on k alone.
/// </summary>
internal sealed unsafe class GemmDriver<TKernel> : GemmDriver
    where TKernel : struct, IGemmKernel
{
    private const int ColumnBlock = 3072;

    // Two, so that a thread that is held up leaves one to the others; more would pack more than that is worth.
    private const int RectanglesPerThread = 2;

    // Rows of the inner dimension that are copied at a time: they stay in the first-level cache while the panels take their parts.
    private const int CopiedRows = 16;
    private static readonly int RowBlock = RoundUp(TKernel.RowBlock, TKernel.Rows);
    private readonly GemmScratch _rows = new((long)TKernel.InnerBlock * RowBlock);
    private readonly GemmScratch _columns = new((long)TKernel.InnerBlock * RoundUp(ColumnBlock, TKernel.Columns));

    public override void Multiply(in GemmProblem problem, WorkerPool? pool)
    {
        if (pool is null || pool.Threads == 1) Rectangle(problem);
        else Shared(problem, pool);
    }

    private void Shared(GemmProblem problem, WorkerPool pool)
    {
        (int down, int across) = Grid(problem.M, problem.N, pool.Threads * RectanglesPerThread);
        int rows = RoundUp((problem.M + down - 1) / down, TKernel.Rows), columns = RoundUp((problem.N + across - 1) / across, TKernel.Columns);
        down = (problem.M + rows - 1) / rows;
        across = (problem.N + columns - 1) / columns;
        pool.Run(down * across, index => Rectangle(problem.Part(index / across * rows, rows, index % across * columns, columns)));
    }

    /// <summary>The grid of so many rectangles that packs the fewest numbers: every row of it packs all of b, every column all of a.</summary>
    private static (int Down, int Across) Grid(int m, int n, int rectangles)
    {
        (int Down, int Across) best = (1, rectangles);
        long least = long.MaxValue;
        for (int down = 1; down <= rectangles; down++)
        {
            int across = rectangles / down;
            if (down * across < rectangles) continue;
            long packed = ((long)down * n) + ((long)across * m);
            if (packed >= least) continue;
            (best, least) = ((down, across), packed);
        }
        return best;
    }

    private void Rectangle(GemmProblem problem)
    {
        int columnPiece = Piece(problem.N, RoundUp(ColumnBlock, TKernel.Columns), TKernel.Columns);
        int innerPiece = Piece(problem.K, TKernel.InnerBlock, 8), rowPiece = Piece(problem.M, RowBlock, TKernel.Rows);
        float* left = _rows.Rent(), right = _columns.Rent();
        try
        {
            for (int column = 0; column < problem.N; column += columnPiece)
            {
                for (int inner = 0; inner < problem.K; inner += innerPiece)
                {
                    GemmProblem piece = problem.Part(0, problem.M, column, columnPiece).Inner(inner, innerPiece);
                    Pack(piece.B, piece.Ldb, !piece.TransposeB, piece.N, piece.K, TKernel.Columns, right);
                    for (int row = 0; row < problem.M; row += rowPiece)
                    {
                        GemmProblem block = piece.Part(row, rowPiece, 0, piece.N);
                        Pack(block.A, block.Lda, block.TransposeA, block.M, block.K, TKernel.Rows, left);
                        Tiles(block, left, right);
                    }
                }
            }
        }
        finally
        {
            _columns.Return(right);
            _rows.Return(left);
        }
    }

    /// <summary>Copies an operand to panels of some rows of a, or columns of b, in which one inner position follows the other.</summary>
    /// <param name="source">The operand.</param>
    /// <param name="stride">Floats between its rows.</param>
    /// <param name="across">Whether its rows run across the panels (a transposed, b plain) and not along the sums.</param>
    /// <param name="length">Rows of a, or columns of b.</param>
    /// <param name="count">Inner positions.</param>
    /// <param name="width">Rows or columns of a panel.</param>
    /// <param name="target">The panels, one after the other.</param>
    private static void Pack(float* source, nint stride, bool across, int length, int count, int width, float* target)
    {
        int step = across ? CopiedRows : count;
        for (int p = 0; p < count; p += step)
        {
            int copied = Math.Min(step, count - p);
            for (int first = 0; first < length; first += width)
            {
                int lanes = Math.Min(width, length - first);
                float* panel = target + ((nint)first * count) + (p * width);
                if (across) GemmPack.Straight(source + (p * stride) + first, stride, lanes, copied, panel, width);
                else GemmPack.Transposed(source + (first * stride) + p, stride, lanes, copied, panel, width);
            }
        }
    }

    private static void Tiles(in GemmProblem problem, float* left, float* right)
    {
        int count = problem.K;
        float* edge = stackalloc float[TKernel.Rows * TKernel.Columns];
        for (int column = 0; column < problem.N; column += TKernel.Columns)
        {
            int columns = Math.Min(TKernel.Columns, problem.N - column);
            float* b = right + ((nint)column * count), a = left, target = problem.C + column;
            for (int row = 0; row < problem.M; row += TKernel.Rows, a += (nint)TKernel.Rows * count, target += TKernel.Rows * problem.Ldc)
            {
                int height = Math.Min(TKernel.Rows, problem.M - row);
                if (height == TKernel.Rows && columns == TKernel.Columns)
                {
                    TKernel.Tile(count, a, b, target, problem.Ldc, problem.Accumulate);
                }
                else if (height == TKernel.Rows && columns % TKernel.Lanes == 0)
                {
                    TKernel.NarrowTile(count, a, b, target, problem.Ldc, columns, problem.Accumulate);
                }
                else
                {
                    TKernel.NarrowTile(count, a, b, edge, TKernel.Columns, columns, false);
                    CopyEdge(edge, target, problem.Ldc, height, columns, problem.Accumulate);
                }
            }
        }
    }

    private static void CopyEdge(float* edge, float* c, nint ldc, int height, int columns, bool accumulate)
    {
        for (int i = 0; i < height; i++, edge += TKernel.Columns, c += ldc)
        {
            if (accumulate)
            {
                for (int j = 0; j < columns; j++) c[j] += edge[j];
            }
            else
            {
                Buffer.MemoryCopy(edge, c, columns * sizeof(float), columns * sizeof(float));
            }
        }
    }
}
