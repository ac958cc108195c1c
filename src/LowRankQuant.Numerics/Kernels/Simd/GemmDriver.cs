namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Blocked products with one tile kernel; <see cref="GemmDriver{TKernel}"/> is the implementation.</summary>
internal abstract class GemmDriver
{
    /// <summary>Runs the product on the pool, or on the calling thread alone where <paramref name="pool"/> is null. m, n and k are not 0.</summary>
    public abstract void Multiply(in GemmProblem problem, WorkerPool? pool);
}

/// <summary>
/// The loops around a tile kernel: b is packed once per block of k and n and shared by all threads; every chunk of rows packs its part of a,
/// which stays in the second-level cache while the panels of b pass by. A sum is cut at fixed places of k, so its value depends on k alone.
/// </summary>
internal sealed unsafe class GemmDriver<TKernel> : GemmDriver
    where TKernel : struct, IGemmKernel
{
    // Bounds the shared packed block of b (InnerBlock x ColumnBlock floats) to a few megabytes of third-level cache.
    private const int ColumnBlock = 3072;

    // Chunks aimed at, so that many cores find work in small products too.
    private const int ChunksWanted = 16;
    private readonly GemmScratch _rows = new((long)TKernel.InnerBlock * RoundUp(TKernel.RowBlock, TKernel.Rows));
    private readonly GemmScratch _columns = new((long)TKernel.InnerBlock * RoundUp(ColumnBlock, TKernel.Columns));
    private readonly Lock _gate = new();
    private readonly Stack<Job> _jobs = [];

    public override void Multiply(in GemmProblem problem, WorkerPool? pool)
    {
        Job? job;
        lock (_gate) _jobs.TryPop(out job);
        job ??= new Job(this);
        job.Columns = _columns.Rent();
        try
        {
            job.Run(problem, pool);
        }
        finally
        {
            _columns.Return(job.Columns);
            lock (_gate) _jobs.Push(job);
        }
    }

    private static int RoundUp(int value, int multiple) => (value + multiple - 1) / multiple * multiple;

    /// <summary>Length of equal pieces (but for the last) not longer than <paramref name="largest"/>.</summary>
    private static int Piece(int total, int largest, int multiple)
    {
        int pieces = (total + largest - 1) / largest;
        return Math.Min(largest, RoundUp((total + pieces - 1) / pieces, multiple));
    }

    /// <summary>State of one product; kept for the next so that products leave nothing to the garbage collector.</summary>
    private sealed class Job
    {
        private readonly GemmDriver<TKernel> _owner;
        private readonly Action<int> _pack;
        private readonly Action<int> _compute;
        private GemmProblem _problem;
        private int _firstColumn;
        private int _columnCount;
        private int _firstInner;
        private int _innerCount;
        private int _panelsPerPack;
        private int _rowsPerChunk;
        private int _columnChunks;
        private int _panelsPerChunk;

        public Job(GemmDriver<TKernel> owner)
        {
            _owner = owner;
            _pack = Pack;
            _compute = Compute;
        }

        public float* Columns { get; set; }

        private int Panels => (_columnCount + TKernel.Columns - 1) / TKernel.Columns;

        public void Run(in GemmProblem problem, WorkerPool? pool)
        {
            _problem = problem;
            int columnPiece = Piece(problem.N, RoundUp(ColumnBlock, TKernel.Columns), TKernel.Columns);
            int innerPiece = Piece(problem.K, TKernel.InnerBlock, 8);
            int rowBlock = RoundUp(TKernel.RowBlock, TKernel.Rows);
            _rowsPerChunk = Math.Min(rowBlock, RoundUp((problem.M + ChunksWanted - 1) / ChunksWanted, TKernel.Rows));
            if (_rowsPerChunk < 2 * TKernel.Rows) _rowsPerChunk = 2 * TKernel.Rows;
            int rowChunks = (problem.M + _rowsPerChunk - 1) / _rowsPerChunk;
            for (_firstColumn = 0; _firstColumn < problem.N; _firstColumn += columnPiece)
            {
                _columnCount = Math.Min(columnPiece, problem.N - _firstColumn);
                // Splitting columns packs a once more for each part: only where rows give too few chunks.
                int wanted = rowChunks * 2 > ChunksWanted ? 1 : (ChunksWanted + rowChunks - 1) / rowChunks;
                _panelsPerChunk = (Panels + wanted - 1) / wanted;
                _columnChunks = (Panels + _panelsPerChunk - 1) / _panelsPerChunk;
                _panelsPerPack = Math.Max(1, 4 * 48 / TKernel.Columns);
                for (_firstInner = 0; _firstInner < problem.K; _firstInner += innerPiece)
                {
                    _innerCount = Math.Min(innerPiece, problem.K - _firstInner);
                    Share(pool, (Panels + _panelsPerPack - 1) / _panelsPerPack, _pack);
                    Share(pool, rowChunks * _columnChunks, _compute);
                }
            }
        }

        private static void Share(WorkerPool? pool, int chunks, Action<int> body)
        {
            if (pool is not null)
            {
                pool.Run(chunks, body);
                return;
            }
            for (int i = 0; i < chunks; i++) body(i);
        }

        private void Pack(int chunk)
        {
            int end = Math.Min(Panels, (chunk + 1) * _panelsPerPack);
            for (int panel = chunk * _panelsPerPack; panel < end; panel++)
            {
                int column = panel * TKernel.Columns;
                int count = Math.Min(TKernel.Columns, _columnCount - column);
                float* target = Columns + ((nint)column * _innerCount);
                column += _firstColumn;
                nint stride = _problem.Ldb;
                if (_problem.TransposeB) GemmPack.Transposed(_problem.B + (column * stride) + _firstInner, stride, count, _innerCount, target, TKernel.Columns);
                else GemmPack.Straight(_problem.B + (_firstInner * stride) + column, stride, count, _innerCount, target, TKernel.Columns);
            }
        }

        private void Compute(int chunk)
        {
            int rowChunk = chunk / _columnChunks, columnChunk = chunk % _columnChunks;
            int firstRow = rowChunk * _rowsPerChunk, rows = Math.Min(_rowsPerChunk, _problem.M - firstRow);
            float* left = _owner._rows.Rent();
            try
            {
                PackRows(firstRow, rows, left);
                int lastPanel = Math.Min(Panels, (columnChunk + 1) * _panelsPerChunk);
                bool accumulate = _problem.Accumulate || _firstInner > 0;
                float* edge = stackalloc float[TKernel.Rows * TKernel.Columns];
                for (int panel = columnChunk * _panelsPerChunk; panel < lastPanel; panel++)
                {
                    int column = panel * TKernel.Columns, columns = Math.Min(TKernel.Columns, _columnCount - column);
                    float* right = Columns + ((nint)column * _innerCount);
                    float* c = _problem.C + (firstRow * _problem.Ldc) + _firstColumn + column;
                    for (int row = 0; row < rows; row += TKernel.Rows)
                    {
                        float* a = left + ((nint)row * _innerCount), target = c + (row * _problem.Ldc);
                        int height = Math.Min(TKernel.Rows, rows - row);
                        if (height == TKernel.Rows && columns == TKernel.Columns)
                        {
                            TKernel.Tile(_innerCount, a, right, target, _problem.Ldc, accumulate);
                            continue;
                        }
                        if (height == TKernel.Rows && columns % TKernel.Lanes == 0)
                        {
                            TKernel.NarrowTile(_innerCount, a, right, target, _problem.Ldc, columns, accumulate);
                            continue;
                        }
                        TKernel.NarrowTile(_innerCount, a, right, edge, TKernel.Columns, columns, false);
                        CopyEdge(edge, target, _problem.Ldc, height, columns, accumulate);
                    }
                }
            }
            finally
            {
                _owner._rows.Return(left);
            }
        }

        private void PackRows(int firstRow, int rows, float* target)
        {
            nint stride = _problem.Lda;
            for (int row = 0; row < rows; row += TKernel.Rows, target += TKernel.Rows * (nint)_innerCount)
            {
                int count = Math.Min(TKernel.Rows, rows - row), first = firstRow + row;
                if (_problem.TransposeA) GemmPack.Straight(_problem.A + (_firstInner * stride) + first, stride, count, _innerCount, target, TKernel.Rows);
                else GemmPack.Transposed(_problem.A + (first * stride) + _firstInner, stride, count, _innerCount, target, TKernel.Rows);
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
}
