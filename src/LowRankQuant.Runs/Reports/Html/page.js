// Sorts tables by their columns, and opens what is folded before a page is printed. The page is complete without it.
for (const table of document.querySelectorAll('table[data-sort]')) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const rising = head.getAttribute('aria-sort') === 'descending' || (!head.hasAttribute('aria-sort') && head.classList.contains('word'));
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', rising ? 'ascending' : 'descending');
      const order = (a, b) => {
        const x = key(a, column), y = key(b, column), byNumber = x !== '' && y !== '' && !isNaN(x) && !isNaN(y);
        return (byNumber ? x - y : x.localeCompare(y, 'en', { numeric: true })) * (rising ? 1 : -1);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
addEventListener('beforeprint', () => { for (const folded of document.querySelectorAll('details:not(.figures-data)')) folded.open = true; });
